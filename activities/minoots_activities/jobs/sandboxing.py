"""The sandbox of a job: what it asks for, and another one where one did not begin or did not last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from minoots.contracts import AgentJob, ExecJob
from minoots.errors import FailureKind
from minoots_activities.egress.gate import Heard
from minoots_activities.sandboxes.port import (
    EndedBefore,
    NeverStarted,
    OutcomeUnknown,
    Sandbox,
    ended_before,
)
from minoots_activities.sandboxes.tiers import Tiers

T = TypeVar("T")
Fill = Callable[[Sandbox], Awaitable[None]]
"""Puts into a sandbox what it begins with."""

_TRIES: Final = 3
_PAUSE: Final = 0.2
"""Seconds between two tries."""


async def sandbox_for(tiers: Tiers, request: ExecJob | AgentJob, name: str, heard: Heard) -> Sandbox:
    """Return a sandbox as a job asks for it; what did not begin is tried again, for nothing has happened.

    Args:
        tiers: what gives sandboxes.
        request: the job.
        name: what the sandbox will be called.
        heard: who is told of every attempt to reach a host.

    Raises:
        NeverStarted: there is none to be had.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return await tiers.create(
                request.tier, name, request.limits, network=request.network, heard=heard, image=request.image
            )
        except NeverStarted as failure:
            if attempt == _TRIES or failure.kind is not FailureKind.UNAVAILABLE:
                raise
            await asyncio.sleep(_PAUSE)
    raise AssertionError("unreachable: the last try raises or returns")


@asynccontextmanager
async def filled(
    tiers: Tiers, request: ExecJob | AgentJob, name: str, heard: Heard, fill: Fill
) -> AsyncIterator[Sandbox]:
    """Yield a sandbox with what it begins with; nothing of it is left afterwards.

    One that ends while it is filled is replaced by another. Arguments as those of `sandbox_for`.

    Raises:
        NeverStarted: there is none to be had.
    """
    for attempt in range(1, _TRIES + 1):
        sandbox = await sandbox_for(tiers, request, name, heard)
        try:
            try:
                await fill(sandbox)
            except (EndedBefore, OutcomeUnknown) as unknown:
                if attempt == _TRIES:
                    raise ended_before() from unknown
                continue
            yield sandbox
            return
        finally:
            await asyncio.shield(sandbox.destroy())


async def until_begun(work: Callable[[], Awaitable[T]]) -> T:
    """Return what comes of work in a sandbox of its own; do it again where that ended before its program.

    Raises:
        EndedBefore: it did so each time.
    """
    for _ in range(_TRIES - 1):
        try:
            return await work()
        except EndedBefore:
            # Nobody of the job notices: nothing of its program has happened.
            await asyncio.sleep(_PAUSE)
    return await work()
