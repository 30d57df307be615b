"""Pending timers across kill -9 of everything: what is lost, what comes twice, how soon the rest fire."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from dev_stacks import DevStack
from receivers import receiving


@dataclass(frozen=True)
class Recovery:
    """What one run showed."""

    pending: int
    lost: int
    duplicates: int
    overdue: int
    overdue_fired_within: float
    """Seconds from ready again to the last overdue one."""
    down: float
    """Seconds from the kill to ready again."""


async def measure(start: Callable[[], DevStack], *, pending: int = 200) -> Recovery:
    """Kill a stack with ``pending`` timers, most of them due while it is down, and start it again."""
    stack = await asyncio.to_thread(start)
    async with receiving() as receiver:
        begin = time.time() + 6
        due: dict[str, float] = {}
        async with httpx.AsyncClient(base_url=stack.url, timeout=60) as http:
            for number in range(pending):
                fire_at = datetime.fromtimestamp(begin + number * 12 / pending, UTC)
                body = {"name": "r", "fire_at": fire_at.isoformat(), "actions": [{"url": receiver.url}]}
                answer = await http.post("/v1/timers", json=body)
                answer.raise_for_status()
                due[answer.json()["id"]] = fire_at.timestamp()
        await asyncio.sleep(max(0.0, begin - 0.5 - time.time()))
        killed = time.time()
        await asyncio.to_thread(stack.kill9)
        stack.close()
        # Stays down until half of them are overdue.
        await asyncio.sleep(max(0.0, begin + 4 - time.time()))
        stack = await asyncio.to_thread(start)
        ready = time.time()
        deadline = begin + 60
        while (
            len({request.event["subject"] for request in receiver.requests}) < pending
            and time.time() < deadline
        ):
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        first: dict[str, float] = {}
        for request in receiver.requests:
            first.setdefault(request.event["subject"], request.at)
        repeats = Counter(request.webhook_id for request in receiver.requests)
    await asyncio.to_thread(stack.stop)
    stack.close()
    overdue = [timer_id for timer_id, at in due.items() if killed < at <= ready]
    return Recovery(
        pending=pending,
        lost=pending - len(first),
        duplicates=sum(count - 1 for count in repeats.values()),
        overdue=len(overdue),
        overdue_fired_within=max(first.get(timer_id, deadline) - ready for timer_id in overdue),
        down=ready - killed,
    )
