"""Destinations on the wire: where deliveries go, how fast they may, and the circuit that guards each."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator

from .base import Duration, Instant, Matching, Part, Request, View

URL_OR_KIND_PATTERN: Final = r"^([hH][tT][tT][pP][sS]?://|(?!agent:)[a-z][a-z0-9_]{0,31}:)[^\s]+$"
FifoKey = Annotated[str, Field(min_length=1, max_length=200)]
"""What is sent to one destination with one key goes in the order in which it fired, one at a time."""


class DestinationState(StrEnum):
    """How the circuit of a destination stands."""

    CLOSED = "closed"
    """Deliveries go there."""
    OPEN = "open"
    """Nothing goes there for now; deliveries wait and lose no attempt."""
    HALF_OPEN = "half_open"
    """One delivery tries whether it is well again; the others wait."""
    DISABLED = "disabled"
    """It was opened too often in a row: deliveries become dead letters until somebody closes it."""
    GONE = "gone"
    """It answered 410 Gone: deliveries become dead letters until somebody closes it."""


class RateLimit(Part):
    """At most ``requests`` in any stretch of time of the length ``per``."""

    requests: Annotated[int, Field(ge=1, le=1000)]
    per: Duration = timedelta(seconds=1)
    """0.1 s to 1 day."""

    @field_validator("per")
    @classmethod
    def _bounded(cls, value: timedelta) -> timedelta:
        if not timedelta(milliseconds=100) <= value <= timedelta(days=1):
            raise ValueError("expected a length between 0.1s and 1d")
        return value


class CircuitPolicy(Part):
    """When the circuit opens: when a share of the attempts within a rolling window has failed.

    What counts as failed is what tells of a receiver that is not well: no connection, no answer in time,
    408, 425, 429 and 5xx. While it is open nothing is sent; then one delivery tries. Each time that fails the
    circuit is open for twice as long as before, half an hour at most.
    """

    enabled: bool = True
    window: Duration = timedelta(seconds=60)
    """1 s to 1 h; of these attempts the last 1,000 count."""
    minimum: Annotated[int, Field(ge=1, le=1000)] = 10
    """With fewer attempts in the window it stays closed."""
    failure_rate: Annotated[float, Field(gt=0, le=1)] = 0.7
    open_for: Duration = timedelta(seconds=30)
    """0.1 s to 30 min."""
    disable_after: Annotated[int, Field(ge=1, le=1000)] | None = 100
    """Opened this often without a success between: about two days with the other defaults. Null: never."""

    @field_validator("window")
    @classmethod
    def _window_bounded(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(hours=1):
            raise ValueError("expected a length between 1s and 1h")
        return value

    @field_validator("open_for")
    @classmethod
    def _open_for_bounded(cls, value: timedelta) -> timedelta:
        if not timedelta(milliseconds=100) <= value <= timedelta(minutes=30):
            raise ValueError("expected a length between 0.1s and 30m")
        return value


class DestinationSave(Request):
    """How fast deliveries may go to a destination, and when its circuit opens. Replaces what was saved."""

    url: Annotated[
        str,
        Field(min_length=3, max_length=2048),
        Matching(URL_OR_KIND_PATTERN, "a URL, or what attempts show for a connector, such as chat:host"),
    ]
    rate: RateLimit | None = None
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many may be under way at a time."""
    circuit: CircuitPolicy = CircuitPolicy()


class DestinationOpen(Request):
    """Open the circuit by hand: nothing is sent until somebody closes it."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class Destination(View):
    """A destination that has settings, or had trouble."""

    id: str
    url: str
    """The URL of webhooks; for connectors what attempts show, such as ``nats:orders``."""
    state: DestinationState
    reason: str | None = None
    """Why it is not closed."""
    changed_at: Instant
    """When it got into this state."""
    probe_at: Instant | None = None
    """With ``open``: when one delivery tries. None when somebody opened it by hand."""
    trips: int = 0
    """How often it opened without a success between."""
    status: int | None = None
    rate: RateLimit | None = None
    concurrency: int | None = None
    circuit: CircuitPolicy = CircuitPolicy()
    sending: int = 0
    """Attempts under way."""
    waiting: int = 0
    """Deliveries that are held back."""
