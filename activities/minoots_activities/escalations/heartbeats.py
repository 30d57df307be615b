"""`HeartbeatsPort`: listen for silence in the records."""

from __future__ import annotations

from temporalio import activity

from minoots_platform.clock import Clock
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, heartbeats
from minoots_workflows.heartbeats.contracts import HeartbeatProgress
from minoots_workflows.heartbeats.port import HeartbeatsPort
from minoots_workflows.pacing import Subject


class Heartbeats(HeartbeatsPort):
    """Heartbeats, on the records."""

    def __init__(self, database: Database, handover: HandOver, clock: Clock) -> None:
        self._database = database
        self._handover = handover
        self._clock = clock

    @activity.defn(name="heartbeats.look")
    async def look(self, heartbeat: Subject) -> HeartbeatProgress:
        """Begin the ladder if nobody has called in time, once, and tell when to look again."""
        async with self._database.write() as connection:
            looked = await heartbeats.look(connection, heartbeat.tenant, heartbeat.id, now=self._clock())
        if looked.escalation_id is not None:
            await self._handover.escalation(looked.escalation_id)
        over = looked.state is None
        return HeartbeatProgress(state=looked.state or "removed", over=over, wake_at=looked.wake_at)
