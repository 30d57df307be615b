"""What the workflow of a check may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .contracts import CheckAnswer, CheckStart


class ChecksPort(ABC):
    """Trying receivers without sending them anything."""

    @activity.defn(name="checks.look")
    @abstractmethod
    async def look(self, request: CheckStart) -> CheckAnswer:
        """Have the connector of the action look at its receiver."""
