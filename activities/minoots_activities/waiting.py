"""Waiting next to the effect: until an exact moment, with heartbeats, inside an activity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

from temporalio import activity

from minoots_platform.clock import Clock

FIRST_BEAT: Final = 1.0
"""Seconds. The usual firing is over by then and costs no heartbeat at all."""
BEAT: Final = 0.5
"""Seconds; four fit into the heartbeat timeout."""

_SLICE: Final = 0.5


async def until(moment: datetime, clock: Clock) -> None:
    """Return at ``moment``, never before it.

    Looks at the wall clock again every half second, so that a clock that is set meanwhile is followed.
    """
    while (remaining := (moment - clock()).total_seconds()) > 0:  # noqa: ASYNC110 - time is what is awaited
        await asyncio.sleep(min(remaining, _SLICE))


@asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Tell Temporal that this activity lives, from its second second on."""

    async def beat() -> None:
        await asyncio.sleep(FIRST_BEAT)
        while True:
            activity.heartbeat()
            await asyncio.sleep(BEAT)

    beating = asyncio.create_task(beat(), name="heartbeats")
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
