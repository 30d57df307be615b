"""Handing out commands as soon as there are any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from minoots.contracts import Command
from minoots_api.gateway import Gateway
from minoots_platform.records import events, inboxes


@dataclass(frozen=True)
class Wanted:
    """What an agent asks for."""

    tenant: str
    agent_id: str
    lease: timedelta
    limit: int


async def commands_for(gateway: Gateway, wanted: Wanted, wait: float) -> tuple[Command, ...]:
    """Return the next commands on lease, or none after ``wait`` seconds.

    Raises:
        Failure: not_found, when there is no such agent.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    with gateway.tailer.following(wanted.tenant) as following:
        while True:
            async with gateway.database.read() as connection:
                # The number first: what is queued after it wakes us.
                seen = await events.last_sequence(connection, wanted.tenant) if wait else 0
            now = gateway.clock()
            async with gateway.database.write() as connection:
                handed = await inboxes.hand_out(
                    connection,
                    wanted.tenant,
                    wanted.agent_id,
                    lease=wanted.lease,
                    limit=wanted.limit,
                    now=now,
                )
            left = deadline - loop.time()
            if handed.commands or left <= 0 or gateway.stopping.is_set():
                return handed.commands
            if handed.again_at is not None:
                # Nobody tells of a lease that ends; whoever waits looks then.
                left = min(left, max(0.01, (handed.again_at - now).total_seconds()))
            await following.wait(seen, left)
