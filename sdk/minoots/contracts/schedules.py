"""Schedules on the wire: timers that recur. Each occurrence is a timer of its own."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from .actions import Action
from .base import Duration, Instant, Labels, Part, Request, View
from .payloads import Payload
from .recurrence import NearInstant, Recurrence
from .retries import RetryPolicy

MAX_JITTER: Final = timedelta(days=1)
MAX_BACKFILL: Final = 1000
"""Occurrences that one backfill may make."""

MAX_PREVIEW: Final = 100


class ScheduleState(StrEnum):
    """Where a schedule stands. ``ended`` and ``cancelled`` are final."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    """Its end or its count is reached."""
    CANCELLED = "cancelled"


class Overlap(StrEnum):
    """What to do when an occurrence comes while an earlier one is still being delivered."""

    ALLOW = "allow"
    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    """It waits; a second one that would have to wait is skipped."""
    BUFFER_ALL = "buffer_all"
    """It waits, behind those that wait already."""
    CANCEL_OTHER = "cancel_other"
    """The retries of the earlier one are called off."""


class CatchUp(Part):
    """What to do with occurrences that were missed by more than ten seconds (an outage)."""

    policy: Literal["none", "last", "all"] = "last"
    """Leave them out, fire only the latest of them, or fire each."""
    younger_than: Duration | None = None
    """Of those, only the ones that were missed by less than this."""


class ScheduleSpec(Recurrence):
    """When a timer recurs, and what happens when occurrences meet or are missed."""

    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp()
    jitter: Duration = timedelta(0)
    """Each occurrence is put off by up to this, evenly spread and always by the same for the same one."""

    @field_validator("jitter")
    @classmethod
    def _bounded(cls, value: timedelta) -> timedelta:
        if value > MAX_JITTER:
            raise ValueError("expected a jitter of at most 1d")
        return value


class Occurrence(View):
    """Which occurrence of a schedule a timer is."""

    schedule_id: str
    number: int
    """From 1, in the order in which they were made."""
    nominal_at: Instant
    """The time that the rules gave; ``fire_at`` differs by jitter, snooze or a trigger."""
    kind: Literal["scheduled", "triggered", "backfilled"]


class Schedule(View):
    """A schedule as it stands."""

    id: str
    name: str
    state: ScheduleState
    state_reason: str | None = None
    generation: int
    schedule: ScheduleSpec
    payload: JsonValue = None
    actions: tuple[Action, ...]
    retry: RetryPolicy
    labels: dict[str, str]
    metadata: dict[str, JsonValue]
    occurrences: int
    """How many timers it has made so far."""
    missed: int
    """How many times it left out by its catch-up policy."""
    left: int | None
    """How many times are left of ``count``."""
    next_at: Instant | None
    """The next time that has no timer yet; the timers that wait already are in ``GET /v1/timers``."""
    created_at: Instant
    updated_at: Instant
    ended_at: Instant | None = None
    created_by: str


class SchedulePatch(Request):
    """Changes to a schedule; timers that wait are made anew from it. What is absent stays."""

    schedule: ScheduleSpec | None = None
    payload: Payload = None
    labels: Labels | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one of schedule, payload and labels")
        return self


class Backfill(Request):
    """Fire now what the rules would have fired between ``since`` (inclusive) and ``until``."""

    since: NearInstant
    until: NearInstant
    overlap: Overlap = Overlap.BUFFER_ALL

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.since >= self.until:
            raise ValueError("give a since that is before until")
        return self


class Backfilled(View):
    """What a backfill made."""

    schedule_id: str
    timers: tuple[str, ...]


class SchedulePreviewRequest(Request):
    """A schedule to look at before anything is saved."""

    schedule: ScheduleSpec
    after: NearInstant | None = None
    """Times after this one; now, if absent."""
    limit: Annotated[int, Field(ge=1, le=MAX_PREVIEW)] = 10


class PlannedTime(View):
    """One time that the rules give."""

    at: Instant
    local: str
    """The same moment in the zone of the schedule."""
    note: str | None = None
    """What daylight saving time did to it."""


class LeftOut(View):
    """A local time that does not happen."""

    local: str
    note: str


class SchedulePreview(View):
    """The next times, and what a change of daylight saving time takes away between them."""

    times: tuple[PlannedTime, ...]
    left_out: tuple[LeftOut, ...] = ()
