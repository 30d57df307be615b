"""The main promise: what was accepted fires, once, whatever is killed in between."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from dev_stacks import DevStack
from receivers import Receiver

pytestmark = pytest.mark.e2e

Start = Callable[..., DevStack]


async def set_timer(http: httpx.AsyncClient, url: str, after: str) -> str:
    """Set a timer; return its id."""
    body = {"name": "k", "after": after, "actions": [{"url": url}]}
    answer = await http.post("/v1/timers", json=body)
    assert answer.status_code == 201, answer.text
    timer_id: str = answer.json()["id"]
    return timer_id


async def settled(http: httpx.AsyncClient, timer_id: str) -> None:
    """Wait until the timer is settled."""
    timer = (await http.get(f"/v1/timers/{timer_id}", params={"wait": 60})).json()
    assert timer["state"] == "settled", timer


async def test_kill_9_of_everything_between_setting_and_firing(dev_stack: Start, receiver: Receiver) -> None:
    stack = await asyncio.to_thread(dev_stack)
    async with httpx.AsyncClient(base_url=stack.url, timeout=70) as http:
        # Due while everything is down, in the last stretch when it is killed, and later.
        # The soonest last, and at the same time: none may be under way when everything is killed.
        timers = [
            timer_id
            for after, count in (("12s", 5), ("3s", 10), ("1s", 10))
            for timer_id in await asyncio.gather(
                *(set_timer(http, receiver.url, after) for _ in range(count))
            )
        ]
    await asyncio.to_thread(stack.kill9)
    stack = await asyncio.to_thread(dev_stack)
    async with httpx.AsyncClient(base_url=stack.url, timeout=70) as http:
        await asyncio.gather(*(settled(http, timer_id) for timer_id in timers))
    seen = Counter(request.event["subject"] for request in receiver.requests)
    assert set(seen) == set(timers), "none lost"
    sent = Counter(request.webhook_id for request in receiver.requests)
    assert set(sent.values()) == {1}, "none twice"


async def test_kill_9_of_the_worker_in_the_last_stretch(dev_stack: Start, receiver: Receiver) -> None:
    stack = await asyncio.to_thread(dev_stack)
    async with httpx.AsyncClient(base_url=stack.url, timeout=70) as http:
        timers = [await set_timer(http, receiver.url, "2.5s") for _ in range(5)]
        await asyncio.sleep(1.5)

        os.kill(stack.pid("worker-io"), signal.SIGKILL)
        await asyncio.gather(*(settled(http, timer_id) for timer_id in timers))
    assert {request.event["subject"] for request in receiver.requests} == set(timers)


async def test_kill_9_of_the_gateway_right_after_it_accepted(dev_stack: Start, receiver: Receiver) -> None:
    stack = await asyncio.to_thread(dev_stack)

    # Without Temporal nothing can be handed over, so the gateway dies between accepting and arming for
    # certain.
    temporal = stack.pid("temporal")
    os.kill(temporal, signal.SIGSTOP)
    try:
        async with httpx.AsyncClient(base_url=stack.url, timeout=70) as http:
            timer_id = await set_timer(http, receiver.url, "0.5s")
        os.kill(stack.pid("gateway"), signal.SIGKILL)
    finally:
        os.kill(temporal, signal.SIGCONT)
    async with httpx.AsyncClient(base_url=stack.url, timeout=70) as http:
        await settled(http, timer_id)
    assert len(receiver.requests) == 1
