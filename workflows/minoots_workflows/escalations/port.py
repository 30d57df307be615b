"""What an escalation's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from minoots_workflows.pacing import Subject

from .contracts import EscalationProgress


class EscalationsPort(ABC):
    """Climbing a ladder."""

    @activity.defn(name="escalations.advance")
    @abstractmethod
    async def advance(self, escalation: Subject) -> EscalationProgress:
        """Have those told who are due soon, each once, and tell when to look again."""
