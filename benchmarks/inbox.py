"""How long a command takes: sent, in the agent's hands, acknowledged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from minoots import AsyncMinoots

from .figures import quantile


@dataclass(frozen=True)
class RoundTrip:
    """Milliseconds from before a command is sent until its acknowledgement is answered."""

    count: int
    received_p50: float
    p50: float
    p95: float


async def measure(url: str, *, count: int = 200) -> RoundTrip:
    """Send commands one after the other to an agent that waits for them."""
    received: list[float] = []
    answered: list[float] = []
    done = asyncio.Event()

    async def agent(client: AsyncMinoots) -> None:
        async for command in client.agents.inbox("bench"):
            received.append(time.perf_counter())
            await command.acknowledge()
            answered.append(time.perf_counter())
            done.set()

    sent: list[float] = []
    async with AsyncMinoots(url) as client, AsyncMinoots(url) as sender:
        await client.agents.register("bench")
        working = asyncio.create_task(agent(client))
        await asyncio.sleep(0.5)
        for number in range(count):
            done.clear()
            sent.append(time.perf_counter())
            await sender.agents.command("bench", f"command {number}")
            await done.wait()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    to_hand = sorted((there - began) * 1000 for began, there in zip(sent, received, strict=True))
    whole = sorted((end - began) * 1000 for began, end in zip(sent, answered, strict=True))
    return RoundTrip(count, quantile(to_hand, 0.5), quantile(whole, 0.5), quantile(whole, 0.95))
