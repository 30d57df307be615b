"""The sandbox of a job: what it asks for, and another try where none began."""

from __future__ import annotations

import asyncio
from typing import Final

from minoots.contracts import AgentJob, ExecJob
from minoots.errors import FailureKind
from minoots_activities.egress.gate import Heard
from minoots_activities.sandboxes.port import NeverStarted, Sandbox
from minoots_activities.sandboxes.tiers import Tiers

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
