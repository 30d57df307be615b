"""``client.agents``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from minoots.async_engine import AsyncEngine
from minoots.call import invalid
from minoots.contracts.agents import Agent, Command, CommandState
from minoots.engine import Engine
from minoots.inbox import Received, inbox
from minoots.operations import agents
from minoots.operations.timers import Length


class Agents:
    """Register agents, command them, take their commands and answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(
        self, agent_id: str, *, description: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Agent:
        """Register an agent, or change what is given of one."""
        return self._engine.call(agents.register(agent_id, description, labels))

    def get(self, agent_id: str) -> Agent:
        """Return an agent and how full its inbox is."""
        return self._engine.call(agents.read(agent_id))

    def list(self) -> Iterator[Agent]:
        """Yield all agents, the newest first."""
        return self._engine.items(agents.listing())

    def command(
        self,
        agent_id: str,
        name: str,
        *,
        payload: Any = None,
        expires_in: Length | None = None,
        idempotency_key: str | None = None,
    ) -> Command:
        """Put a command into an agent's inbox."""
        return self._engine.call(agents.command(agent_id, name, payload, expires_in, idempotency_key))

    def history(
        self, agent_id: str, *, state: CommandState | str | Sequence[CommandState | str] | None = None
    ) -> Iterator[Command]:
        """Yield an agent's commands, the newest first; nothing is handed out."""
        return self._engine.items(agents.history(agent_id, state))

    def look_up(self, agent_id: str, command_id: str) -> Command:
        """Return a command as it stands."""
        return self._engine.call(agents.look_up(agent_id, command_id))

    def take(
        self, agent_id: str, *, lease: Length = "60s", limit: int = 1, wait: int = 0
    ) -> tuple[Command, ...]:
        """Take the next commands on lease, waiting up to ``wait`` seconds (60 at most)."""
        return self._engine.call(agents.take(agent_id, lease, limit, wait)).items

    def acknowledge(self, command: Command, result: Any = None) -> Command:
        """Close a command that was taken as done; `Conflict` if somebody else has it by now."""
        return self._engine.call(agents.acknowledge(command.agent_id, command.id, _lease(command), result))

    def extend(self, command: Command, by: Length = "60s") -> Command:
        """Keep a command that was taken for longer."""
        return self._engine.call(agents.extend(command.agent_id, command.id, _lease(command), by))

    def progress(self, command: Command, value: Any, *, by: Length = "60s") -> Command:
        """Tell how far a command is, and keep it for longer."""
        return self._engine.call(agents.progress(command.agent_id, command.id, _lease(command), value, by))

    def decline(self, command: Command, reason: str | None = None, *, requeue: bool = False) -> Command:
        """Close a command that was taken as not done, or have it handed out again."""
        call = agents.decline(command.agent_id, command.id, _lease(command), reason, requeue=requeue)
        return self._engine.call(call)


class AsyncAgents:
    """Register agents, command them, take their commands and answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def inbox(self, agent_id: str, *, lease: Length = "60s") -> AsyncGenerator[Received]:
        """Yield the commands of an agent as they come, with their leases renewed; see `minoots.inbox`."""
        return inbox(self._engine, agent_id, lease)

    async def register(
        self, agent_id: str, *, description: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Agent:
        """Register an agent, or change what is given of one."""
        return await self._engine.call(agents.register(agent_id, description, labels))

    async def get(self, agent_id: str) -> Agent:
        """Return an agent and how full its inbox is."""
        return await self._engine.call(agents.read(agent_id))

    def list(self) -> AsyncIterator[Agent]:
        """Yield all agents, the newest first."""
        return self._engine.items(agents.listing())

    async def command(
        self,
        agent_id: str,
        name: str,
        *,
        payload: Any = None,
        expires_in: Length | None = None,
        idempotency_key: str | None = None,
    ) -> Command:
        """Put a command into an agent's inbox."""
        return await self._engine.call(agents.command(agent_id, name, payload, expires_in, idempotency_key))

    def history(
        self, agent_id: str, *, state: CommandState | str | Sequence[CommandState | str] | None = None
    ) -> AsyncIterator[Command]:
        """Yield an agent's commands, the newest first; nothing is handed out."""
        return self._engine.items(agents.history(agent_id, state))

    async def look_up(self, agent_id: str, command_id: str) -> Command:
        """Return a command as it stands."""
        return await self._engine.call(agents.look_up(agent_id, command_id))

    async def take(
        self, agent_id: str, *, lease: Length = "60s", limit: int = 1, wait: int = 0
    ) -> tuple[Command, ...]:
        """Take the next commands on lease, waiting up to ``wait`` seconds (60 at most)."""
        return (await self._engine.call(agents.take(agent_id, lease, limit, wait))).items

    async def acknowledge(self, command: Command, result: Any = None) -> Command:
        """Close a command that was taken as done; `Conflict` if somebody else has it by now."""
        return await self._engine.call(
            agents.acknowledge(command.agent_id, command.id, _lease(command), result)
        )

    async def extend(self, command: Command, by: Length = "60s") -> Command:
        """Keep a command that was taken for longer."""
        return await self._engine.call(agents.extend(command.agent_id, command.id, _lease(command), by))

    async def progress(self, command: Command, value: Any, *, by: Length = "60s") -> Command:
        """Tell how far a command is, and keep it for longer."""
        return await self._engine.call(
            agents.progress(command.agent_id, command.id, _lease(command), value, by)
        )

    async def decline(self, command: Command, reason: str | None = None, *, requeue: bool = False) -> Command:
        """Close a command that was taken as not done, or have it handed out again."""
        call = agents.decline(command.agent_id, command.id, _lease(command), reason, requeue=requeue)
        return await self._engine.call(call)


def _lease(command: Command) -> str:
    if command.lease is None:
        raise invalid("command.lease", "a command that was taken", "one that was only looked at")
    return command.lease.id
