"""What a heartbeat's workflow may ask of the world."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from minoots_workflows.pacing import Subject

from .contracts import HeartbeatProgress


class HeartbeatsPort(ABC):
    """Listening for silence."""

    @activity.defn(name="heartbeats.look")
    @abstractmethod
    async def look(self, heartbeat: Subject) -> HeartbeatProgress:
        """Begin the ladder if nobody has called in time, once, and tell when to look again."""
