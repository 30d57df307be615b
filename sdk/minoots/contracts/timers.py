"""Timers on the wire: what a client asks for and what the service answers."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from .actions import Action
from .base import Duration, Instant, Labels, Name, Part, Request, View
from .escalations import Acknowledgement
from .payloads import Metadata, Payload
from .retries import PlannedAttempt, RetryPolicy
from .schedules import Occurrence, ScheduleSpec

MAX_ACTIONS: Final = 16


class TimerState(StrEnum):
    """Where a timer stands. ``settled``, ``failed`` and ``cancelled`` are final."""

    SCHEDULED = "scheduled"
    """Accepted and kept; not yet handed to the engine."""
    ARMED = "armed"
    """The engine holds it and will fire it."""
    PAUSED = "paused"
    FIRED = "fired"
    """Its time came; its actions are being delivered."""
    SETTLED = "settled"
    """Every action succeeded."""
    FAILED = "failed"
    """An action could not be delivered and is in the dead letters."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (TimerState.SETTLED, TimerState.FAILED, TimerState.CANCELLED)

    @property
    def waiting(self) -> bool:
        """Whether it has not fired yet and still may."""
        return self in (TimerState.SCHEDULED, TimerState.ARMED, TimerState.PAUSED)


class Misfire(Part):
    """What to do when the time has passed before the timer could fire (an outage, a pause)."""

    policy: Literal["fire", "skip"] = "fire"
    grace: Duration = timedelta(seconds=60)
    """With ``skip``: fire all the same when late by no more than this."""


class _Due(Request):
    fire_at: Instant | None = Field(default=None, description="When: RFC 3339 with an offset.")
    after: Duration | None = Field(
        default=None, description='In how long: "90s", "1h30m", "PT1H30M" or seconds.'
    )


class TimerCreate(_Due):
    """A timer to set: exactly one of ``fire_at``, ``after`` and ``schedule``."""

    schedule: ScheduleSpec | None = None
    """It recurs: what is set is the first occurrence, and the schedule that makes the others."""
    name: Name
    payload: Payload = None
    actions: Annotated[tuple[Action, ...], Field(min_length=1, max_length=MAX_ACTIONS)]
    retry: RetryPolicy = RetryPolicy()
    misfire: Misfire = Misfire()
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)
    acknowledge: Acknowledgement | None = None
    """Somebody has to acknowledge it after it fired; it settles when they have."""

    @model_validator(mode="after")
    def _one_due(self) -> Self:
        if [self.fire_at, self.after, self.schedule].count(None) != 2:
            raise ValueError("give exactly one of fire_at, after and schedule")
        if self.schedule is not None and "misfire" in self.model_fields_set:
            raise ValueError("give no misfire with a schedule: schedule.catch_up says what is done when late")
        return self


class TimerPatch(_Due):
    """Changes to a timer that has not fired; what is absent stays as it is."""

    payload: Payload = None
    labels: Labels | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.fire_at is not None and self.after is not None:
            raise ValueError("give at most one of fire_at and after")
        if not self.model_fields_set:
            raise ValueError("give at least one of fire_at, after, payload and labels")
        return self


class Snooze(Request):
    """Put a timer off: it fires ``after`` from now."""

    after: Duration


class Cancel(Request):
    """Call a timer off."""

    reason: Annotated[str, Field(max_length=500)] | None = None


class PreviewRequest(_Due):
    """A due time and a policy to look at before anything is saved; without a due time, from now."""

    retry: RetryPolicy = RetryPolicy()

    @model_validator(mode="after")
    def _at_most_one_due(self) -> Self:
        if self.fire_at is not None and self.after is not None:
            raise ValueError("give at most one of fire_at and after")
        return self


class Preview(View):
    """The attempts that would be made if every one of them failed."""

    fire_at: Instant
    attempts: tuple[PlannedAttempt, ...]
    gives_up_at: Instant


class PlanNodeRef(View):
    """Which node of which plan a timer is."""

    plan_id: str
    node: str


class Timer(View):
    """A timer as it stands."""

    id: str
    name: str
    state: TimerState
    state_reason: str | None = None
    generation: int
    """Rises with every change; send it as ``If-Match`` to change only what you have seen."""
    placement: Literal["workflow"] = "workflow"
    fire_at: Instant
    created_at: Instant
    updated_at: Instant
    fired_at: Instant | None = None
    settled_at: Instant | None = None
    lateness_ms: float | None = None
    """``fired_at - fire_at`` in milliseconds, once fired."""
    payload: JsonValue = None
    actions: tuple[Action, ...]
    retry: RetryPolicy
    misfire: Misfire
    labels: dict[str, str]
    metadata: dict[str, JsonValue]
    created_by: str
    closed_by: str | None = None
    """Who cancelled it."""
    occurrence: Occurrence | None = None
    """Which occurrence of which schedule it is, if it is one."""
    plan: PlanNodeRef | None = None
    """Which node of which plan it is, if it is one."""
    acknowledge: Acknowledgement | None = None
    escalation_id: str | None = None
    """Once fired: the escalation that sees to its acknowledgement."""


class Account(View):
    """One line of the answer to "why": what happened or will happen, and when."""

    at: Instant
    what: str


class Why(View):
    """A plain account of a timer."""

    id: str
    state: TimerState
    summary: str
    """One sentence that answers "why has it (not) fired?"."""
    late_by_ms: float | None = None
    late_because: str | None = None
    next_at: Instant | None = None
    """When the next thing happens by itself, if anything does."""
    history: tuple[Account, ...]
