"""Agent inboxes: an action becomes a command, once for its webhook id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minoots.contracts import AgentAction, AttemptError
from minoots.errors import Failure
from minoots_activities.result import Result
from minoots_platform.clock import Clock
from minoots_platform.records import Database, inboxes
from minoots_platform.telemetry.trace_context import current_traceparent

from .connector import Connector, Sending


class AgentInboxes(Connector[AgentAction]):
    """Queues commands. They are in the records, so nothing of the network can fail."""

    kind: ClassVar[str] = "agent"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def prepare(self, tenant: str, actions: Sequence[AgentAction]) -> None:
        """Nothing is needed."""

    async def send(self, sending: Sending[AgentAction]) -> Result:
        """Queue the command; one that is queued already stays the one."""
        spec, action, started_at = sending.spec, sending.action, self._clock()
        new = inboxes.NewCommand(
            agent_id=action.agent,
            name=action.name or spec.name,
            payload=spec.payload,
            actor=f"timer/{spec.timer_id}",
            key=sending.claim.webhook_id,
            timer_id=spec.timer_id,
            expires_at=None if action.expires_in is None else sending.fired_at + action.expires_in,
            traceparent=current_traceparent(),
        )
        try:
            async with self._database.write() as connection:
                command = await inboxes.queue(connection, spec.tenant, new, now=started_at)
        except Failure as failure:
            return Result.unsent(self._clock(), AttemptError.ABSENT, failure.detail)
        return Result(started_at, self._clock(), None, None, None, command.id, None)
