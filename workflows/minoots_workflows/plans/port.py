"""What a plan's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import PlanAdvance, PlanProgress


class PlansPort(ABC):
    """Carrying a plan on."""

    @activity.defn(name="plans.advance")
    @abstractmethod
    async def advance(self, request: PlanAdvance) -> PlanProgress:
        """Take over what has ended, begin what follows, each once, and tell when to look again."""
