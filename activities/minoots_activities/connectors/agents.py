"""Agent inboxes: a message becomes a command, once for its id."""

from __future__ import annotations

from minoots.contracts import AgentAction, AttemptError
from minoots.errors import Failure
from minoots_platform.records import agents, inboxes

from .sender import Message, NotSent, Sender


class AgentInboxes(Sender[AgentAction]):
    """Queues commands. They are in the records, so nothing of the network can fail."""

    async def send(self, message: Message, config: AgentAction) -> str | None:
        """Queue the command; one that is queued already stays the one. Return its id."""
        new = inboxes.NewCommand(
            agent_id=config.agent,
            name=config.name or message.title,
            payload=message.payload,
            actor=f"timer/{message.timer_id}",
            key=message.id,
            timer_id=message.timer_id,
            expires_at=None if config.expires_in is None else message.fired_at + config.expires_in,
            traceparent=message.traceparent,
        )
        try:
            async with self.world.database.write() as connection:
                command = await inboxes.queue(connection, message.tenant, new, now=self.world.clock())
        except Failure as failure:
            raise NotSent(AttemptError.ABSENT, failure.detail) from failure
        return command.id

    async def check(self, tenant: str, config: AgentAction) -> None:
        """Make sure that the agent is registered; whether it runs, it shows by fetching its commands."""
        try:
            async with self.world.database.read() as connection:
                await agents.get(connection, tenant, config.agent)
        except Failure as failure:
            raise NotSent(AttemptError.ABSENT, failure.detail) from failure
