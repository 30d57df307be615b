"""What crosses Temporal on behalf of a timer."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from minoots_workflows.contract import Contract
from minoots_workflows.deliveries.contracts import DeliveryStart


class TimerStart(Contract):
    """Input of `TimerWorkflow`. The spec stays in the records: payloads never enter a history."""

    tenant: str
    timer_id: str
    name: str
    generation: int
    fire_at: datetime
    lead_ms: int
    paused: bool = False


class TimerChange(Contract):
    """Input of every update: how the timer stands since ``generation``, whatever led there."""

    generation: int
    fire_at: datetime
    lead_ms: int
    paused: bool = False
    by: str = ""


class Phase(StrEnum):
    """What a timer's workflow is doing."""

    WAITING = "waiting"
    PAUSED = "paused"
    FIRING = "firing"
    """In the last stretch, or sending."""
    DELIVERING = "delivering"
    """Fired; a receiver failed and is tried again."""
    CLOSED = "closed"


class TimerProgress(Contract):
    """Answer of the query ``state`` and of every update."""

    phase: Phase
    generation: int
    fire_at: datetime
    lead_ms: int


class FireRequest(Contract):
    """Input of ``timers.fire``: fire this generation at ``fire_at``, not before."""

    tenant: str
    timer_id: str
    generation: int
    fire_at: datetime
    wake_at: datetime | None = None
    """When the workflow meant to wake; absent when it had no time to sleep."""


class FireOutcome(StrEnum):
    """How firing ended."""

    SETTLED = "settled"
    DELIVERING = "delivering"
    """At least one action is to be tried again; ``deliveries`` says which."""
    AWAITING = "awaiting"
    """Every action succeeded; the escalation that sees to its acknowledgement goes on by itself."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Too late by its misfire policy."""
    SUPERSEDED = "superseded"
    """A later generation holds; ``change`` says how the timer stands now."""
    CLOSED = "closed"
    """Cancelled, or already finished."""


class FireReport(Contract):
    """Answer of ``timers.fire``."""

    outcome: FireOutcome
    deliveries: tuple[DeliveryStart, ...] = ()
    change: TimerChange | None = None


class TimerClose(Contract):
    """Input of ``timers.close``: the workflow was cancelled in Temporal, not through the gateway."""

    tenant: str
    timer_id: str
    by: str


class TimerResult(Contract):
    """Result of `TimerWorkflow`."""

    state: str
    """``settled``, ``awaiting`` (its acknowledgement), ``failed`` or ``cancelled``."""
