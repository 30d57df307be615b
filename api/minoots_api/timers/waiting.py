"""Answering as soon as a timer is final, for clients that wait for it."""

from __future__ import annotations

import asyncio

from minoots.contracts import Timer
from minoots_api.gateway import Gateway
from minoots_platform.records import events, timers


async def when_final(gateway: Gateway, tenant: str, timer_id: str, wait: float) -> Timer:
    """Return the timer once it is final, or as it stands after ``wait`` seconds.

    Raises:
        Failure: not_found.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    with gateway.tailer.following(tenant) as following:
        while True:
            async with gateway.database.read() as connection:
                # The number first: what happens after it wakes us, what happened before it is in the row.
                seen = await events.last_sequence(connection, tenant) if wait else 0
                timer = await timers.get(connection, tenant, timer_id)
            left = deadline - loop.time()
            if timer.state.final or left <= 0 or gateway.stopping.is_set():
                return timer
            await following.wait(seen, left)
