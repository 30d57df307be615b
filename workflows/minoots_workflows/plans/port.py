"""What a plan's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from minoots_workflows.pacing import Subject

from .contracts import PlanProgress


class PlansPort(ABC):
    """Carrying a plan on."""

    @activity.defn(name="plans.advance")
    @abstractmethod
    async def advance(self, plan: Subject) -> PlanProgress:
        """Take over what has ended, begin what follows, each once, and tell when to look again."""
