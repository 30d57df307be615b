"""What a schedule's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import ScheduleAdvance, ScheduleProgress


class SchedulesPort(ABC):
    """Making the timers of a schedule."""

    @activity.defn(name="schedules.advance")
    @abstractmethod
    async def advance(self, request: ScheduleAdvance) -> ScheduleProgress:
        """Make the timers that are due soon, each once, and tell when to look again."""
