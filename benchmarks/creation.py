"""What setting a timer costs: latency of one after the other, and rate with 16 clients at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import httpx

from .figures import quantile

BODY: Final[dict[str, Any]] = {"name": "bench", "after": "1h", "actions": [{"url": "http://127.0.0.1:9/"}]}


@dataclass(frozen=True)
class Creation:
    """Milliseconds for one after the other; timers a second with many clients."""

    p50: float
    p95: float
    clients: int
    rate: float


async def measure(url: str, *, alone: int = 200, clients: int = 16, seconds: float = 8) -> Creation:
    """Set timers that are due in an hour."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        took = []
        for _ in range(alone):
            began = time.perf_counter()
            (await http.post("/v1/timers", json=BODY)).raise_for_status()
            took.append((time.perf_counter() - began) * 1000)
    made = 0
    until = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal made
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            while time.perf_counter() < until:
                (await http.post("/v1/timers", json=BODY)).raise_for_status()
                made += 1

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    rate = made / (time.perf_counter() - began)
    took.sort()
    return Creation(p50=quantile(took, 0.5), p95=quantile(took, 0.95), clients=clients, rate=rate)
