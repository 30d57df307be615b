"""Who can be told, and who is on call when."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from .actions import Action
from .base import Duration, Instant, Name, Part, Request, View
from .escalations import Hours, Slug, Somebody

MAX_LAYERS: Final = 8
MAX_OVERRIDES: Final = 100
MAX_PARTICIPANTS: Final = 50


class PersonSave(Request):
    """Somebody who can be told; saving them again replaces what is given."""

    id: Slug
    name: Name
    contacts: Annotated[tuple[Action, ...], Field(min_length=1, max_length=8)]
    """How: each of these actions, at the same time."""


class Person(View):
    """A person as they stand."""

    id: str
    name: str
    contacts: tuple[Action, ...]
    updated_at: Instant


class Layer(Part):
    """Participants who take turns."""

    participants: Annotated[tuple[Somebody, ...], Field(min_length=1, max_length=MAX_PARTICIPANTS)]
    """In their order."""
    start: Instant
    """When the first one's turn begins."""
    turn: Duration = timedelta(days=7)
    """How long a turn is. Whole days are counted in local days of ``zone``: a change of the clocks does not
    move the hour of the change-over."""
    zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    hours: Hours | None = None
    """Only at these times."""
    end: Instant | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.turn < timedelta(minutes=1):
            raise ValueError("expected a turn of at least 1m")
        if self.end is not None and self.end <= self.start:
            raise ValueError("expected an end after the start")
        return self


class Override(Part):
    """Somebody who stands in, for a while."""

    who: Somebody
    since: Instant
    until: Instant

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.until <= self.since:
            raise ValueError("expected until after since")
        return self


class RotationSave(Request):
    """Who is on call when; saving it again replaces it."""

    id: Slug
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=MAX_LAYERS)]
    """Later ones go before earlier ones, where they have somebody."""
    overrides: Annotated[tuple[Override, ...], Field(max_length=MAX_OVERRIDES)] = ()
    """Go before all layers. They may not overlap."""


class Rotation(View):
    """A rotation as it stands."""

    id: str
    layers: tuple[Layer, ...]
    overrides: tuple[Override, ...]
    on_call: str | None
    """Who is, at this moment."""
    updated_at: Instant


class Shift(View):
    """Somebody is on call from then to then."""

    who: str | None
    """``None`` for a gap."""
    since: Instant
    until: Instant


class OnCall(View):
    """Who is on call when."""

    shifts: tuple[Shift, ...]
