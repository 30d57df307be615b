"""Feeding the commands of an inbox to whatever can work on them, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Literal

from minoots.async_client import AsyncMinoots
from minoots.errors import Conflict
from minoots.inbox import Received
from minoots.operations.timers import Length

OnError = Literal["decline", "give_back"]
"""What becomes of a command whose work raised: closed as not done, or handed out again."""


async def feed(
    client: AsyncMinoots,
    agent: str,
    work: Callable[[Received], Awaitable[Any]],
    *,
    lease: Length,
    on_error: OnError,
    limit: int | None,
) -> None:
    """Work on commands until cancelled, or ``limit`` of them are done.

    What ``work`` returns is the result that the command is acknowledged with. Its lease is renewed
    meanwhile; when somebody else has got the command, the work is cancelled. Cancelled itself, it gives the
    command back.
    """
    done = 0
    # Closed in any case, so that a command that is left unanswered is given back at once.
    async with aclosing(client.agents.inbox(agent, lease=lease)) as commands:
        async for received in commands:
            outcome = await _worked(received, work)
            # Lost: somebody else has it by now, and what was done for it was done in vain.
            with suppress(Conflict):
                if not outcome.cancelled():
                    await _answer(received, outcome, on_error)
                    done += 1
            if done == limit:
                return


async def _worked(received: Received, work: Callable[[Received], Awaitable[Any]]) -> asyncio.Future[Any]:
    """Work until it is done, or the command is lost; return the work, done or cancelled."""
    working = asyncio.ensure_future(work(received))
    losing = asyncio.ensure_future(received.lost.wait())
    try:
        await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        losing.cancel()
        working.cancel()
        await asyncio.wait({working, losing})
    return working


async def _answer(received: Received, worked: asyncio.Future[Any], on_error: OnError) -> None:
    error = worked.exception()
    if error is None:
        await received.acknowledge(worked.result())
    elif on_error == "decline":
        await received.decline(f"{type(error).__name__}: {error}"[:500])
    else:
        await received.give_back(f"{type(error).__name__}: {error}"[:500])


def text_of(received: Received) -> str:
    """Return a command as a task for a model."""
    note = received.payload
    if isinstance(note, dict) and set(note) == {"note"}:
        note = note["note"]
    return received.name if note is None else f"{received.name}\n\n{note}"
