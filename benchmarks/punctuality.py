"""How late webhooks arrive, measured at the receiver: due time against the moment of arrival."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from receivers import Receiver, receiving

from .figures import quantile

HEAD_START = 4.0
"""Seconds between the last creation and the first due time."""


@dataclass(frozen=True)
class Punctuality:
    """What one run showed; lateness in milliseconds."""

    rate: float
    count: int
    missing: int
    repeated: int
    p50: float
    p95: float
    worst: float
    early: int


async def measure(url: str, *, rate: float, count: int) -> Punctuality:
    """Set ``count`` timers due at ``rate`` a second and wait for their webhooks."""
    async with receiving() as receiver, httpx.AsyncClient(base_url=url, timeout=60) as http:
        due = await _set(http, receiver, rate=rate, count=count)
        last = max(due.values())
        deadline = last + 30
        while len(receiver.requests) < count and time.time() < deadline:
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)
        arrivals = [(request.event["subject"], request.at) for request in receiver.requests]
    seen: dict[str, float] = {}
    for timer_id, at in arrivals:
        seen.setdefault(timer_id, at)
    late = sorted((at - due[timer_id]) * 1000 for timer_id, at in seen.items())
    return Punctuality(
        rate=rate,
        count=count,
        missing=count - len(seen),
        repeated=len(arrivals) - len(seen),
        p50=quantile(late, 0.5),
        p95=quantile(late, 0.95),
        worst=late[-1],
        early=sum(1 for one in late if one < 0),
    )


async def _set(http: httpx.AsyncClient, receiver: Receiver, *, rate: float, count: int) -> dict[str, float]:
    """Set the timers, spread evenly, far enough ahead that setting is over before the first is due."""
    begin = time.time() + HEAD_START + count / 40
    gate = asyncio.Semaphore(8)

    async def one(number: int) -> tuple[str, float]:
        due = begin + number / rate
        fire_at = datetime.fromtimestamp(due, UTC)
        body = {"name": f"bench-{number}", "fire_at": fire_at.isoformat(), "actions": [{"url": receiver.url}]}
        async with gate:
            answer = await http.post("/v1/timers", json=body)
        answer.raise_for_status()
        return answer.json()["id"], fire_at.timestamp()

    return dict(await asyncio.gather(*(one(number) for number in range(count))))
