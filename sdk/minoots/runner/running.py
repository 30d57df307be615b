"""The runner's loop: take commands, wake sessions, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minoots.async_client import AsyncMinoots
from minoots.errors import Conflict

from .settings import RunnerSettings
from .waking import WakeFailed, session_of, wake


async def run(
    client: AsyncMinoots, settings: RunnerSettings, tell: Callable[[str], None], *, once: bool = False
) -> None:
    """Work through the agent's inbox until cancelled; with ``once``, return after one command.

    A command is acknowledged when its session was seen to wake, and declined with the reason when it was not.
    """
    await client.agents.register(settings.agent)
    tell(f"waiting for commands to {settings.agent}")
    async for command in client.agents.inbox(settings.agent):
        tell(f"{command.id} {command.name}: taken")

        async def woken(result: dict[str, Any], command: Any = command) -> None:
            await command.acknowledge(result)
            tell(f"{command.id}: {result['program']} session {result['session']} is awake")

        try:
            await wake(settings, session_of(command.payload), woken, client)
        except WakeFailed as failure:
            tell(f"{command.id}: {failure}")
            await command.decline(str(failure)[:500])
        except Conflict as conflict:
            tell(f"{command.id}: {conflict.problem.detail}")
        if once:
            return
