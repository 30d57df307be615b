"""What crosses Temporal on behalf of a schedule."""

from __future__ import annotations

from datetime import datetime

from minoots_workflows.contract import Contract


class ScheduleStart(Contract):
    """Input of `ScheduleWorkflow`."""

    tenant: str
    schedule_id: str
    name: str


class ScheduleAdvance(Contract):
    """Input of ``schedules.advance``."""

    tenant: str
    schedule_id: str


class ScheduleProgress(Contract):
    """Answer of ``schedules.advance``, and of the query ``state``: how the schedule stands."""

    state: str = "active"
    generation: int = 0
    """That the records were at; a change that is no newer needs no other look."""
    made: int = 0
    """Timers made so far by this run."""
    wake_at: datetime | None = None
    """When to look again; ``None`` when only a change can bring more."""

    @property
    def over(self) -> bool:
        """Whether it makes no more timers."""
        return self.state in ("ended", "cancelled")


class ScheduleChanged(Contract):
    """Signal ``changed``: the records are at this generation now."""

    generation: int
