"""An agent's inbox as an asynchronous iterator: commands come one by one, and their leases are kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from .async_engine import AsyncEngine
from .contracts.agents import Command
from .durations import parse_duration
from .errors import Conflict, MinootsError
from .operations import agents
from .operations.timers import Length

_WAIT = 50
"""Seconds that one question waits for a command."""


class Received:
    """A command to work on. Its lease is renewed until it is answered.

    Attributes:
        command: as it was handed out.
        lost: set when somebody else has it by now: what is done for it is done in vain.
    """

    def __init__(self, engine: AsyncEngine, command: Command, lease: timedelta) -> None:
        assert command.lease is not None  # noqa: S101 - what is handed out has one
        self.command = command
        self.lost = asyncio.Event()
        self._engine = engine
        self._lease = lease
        self._token = command.lease.id
        self._answered = False
        self._renewing = asyncio.create_task(self._renew(), name=f"lease of {command.id}")

    @property
    def id(self) -> str:
        """Public id of the command."""
        return self.command.id

    @property
    def name(self) -> str:
        """What is to be done."""
        return self.command.name

    @property
    def payload(self) -> Any:
        """Whatever came with it."""
        return self.command.payload

    @property
    def answered(self) -> bool:
        """Whether it was acknowledged, declined or given back."""
        return self._answered

    async def acknowledge(self, result: Any = None) -> Command:
        """Close it as done.

        Raises:
            Conflict: somebody else has it by now.
        """
        call = agents.acknowledge(self.command.agent_id, self.id, self._token, result)
        return await self._answer(call)

    async def decline(self, reason: str | None = None) -> Command:
        """Close it as not done.

        Raises:
            Conflict: somebody else has it by now.
        """
        call = agents.decline(self.command.agent_id, self.id, self._token, reason, requeue=False)
        return await self._answer(call)

    async def give_back(self, reason: str | None = None) -> Command:
        """Have it handed out again, to whoever asks next.

        Raises:
            Conflict: somebody else has it by now.
        """
        call = agents.decline(self.command.agent_id, self.id, self._token, reason, requeue=True)
        return await self._answer(call)

    async def progress(self, value: Any) -> Command:
        """Tell how far it is.

        Raises:
            Conflict: somebody else has it by now.
        """
        call = agents.progress(self.command.agent_id, self.id, self._token, value, self._lease)
        return await self._engine.call(call)

    async def close(self) -> None:
        """Give it back unless it was answered."""
        if not self._answered:
            with suppress(MinootsError):
                await self.give_back("it was not answered")
        await self._stop()

    async def _answer(self, call: Any) -> Command:
        answered: Command = await self._engine.call(call)
        self._answered = True
        await self._stop()
        return answered

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                await self._engine.call(
                    agents.extend(self.command.agent_id, self.id, self._token, self._lease)
                )
            except Conflict:
                self.lost.set()
                return
            except MinootsError:
                continue  # the gateway is away: the lease may well outlive that

    async def _stop(self) -> None:
        self._renewing.cancel()
        with suppress(asyncio.CancelledError):
            await self._renewing


async def inbox(engine: AsyncEngine, agent_id: str, lease: Length) -> AsyncGenerator[Received]:
    """Yield the commands of an agent as they come.

    Answer each with ``acknowledge`` or ``decline``. One that the loop leaves unanswered, by an error or by
    going on, is given back and comes again.
    """
    length = parse_duration(lease)
    while True:
        taken = await engine.call(agents.take(agent_id, lease, 1, _WAIT))
        for command in taken.items:
            received = Received(engine, command, length)
            try:
                yield received
            finally:
                await received.close()
