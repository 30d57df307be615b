"""What a timer's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import FireReport, FireRequest, TimerClose


class TimersPort(ABC):
    """Firing, and closing what was cancelled in Temporal."""

    @activity.defn(name="timers.fire")
    @abstractmethod
    async def fire(self, request: FireRequest) -> FireReport:
        """Wait for the exact moment, claim the timer, deliver every action, record the outcome."""

    @activity.defn(name="timers.close")
    @abstractmethod
    async def close(self, request: TimerClose) -> None:
        """Record that an operator cancelled the workflow; a timer that is finished stays as it is."""
