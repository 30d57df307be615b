"""kill -9 at random points, seed by seed: what was accepted fires, and each effect has one key."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from dev_stacks import DevStack
from receivers import Receiver

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(240)]

PARTS = ("worker-io", "worker-core", "worker-jobs", "gateway", "temporal")
TIMERS = 120
WITHIN = 12.0
"""Seconds in which the timers are due and the parts are killed."""

Start = Callable[..., DevStack]


@pytest.mark.parametrize("seed", range(10))
async def test_nothing_is_lost_whatever_part_dies_when(
    dev_stack: Start, receiver: Receiver, seed: int
) -> None:
    dice = random.Random(seed)
    stack = await asyncio.to_thread(dev_stack)
    async with httpx.AsyncClient(base_url=stack.url, timeout=90) as http:
        accepted: set[str] = set()
        for _ in range(TIMERS):
            body = {"name": "c", "after": dice.uniform(0.1, WITHIN), "actions": [{"url": receiver.url}]}
            accepted.add((await http.post("/v1/timers", json=body)).raise_for_status().json()["id"])
        body = {
            "name": "tick",
            "schedule": {"rules": [{"every": "1s"}], "count": 15, "catch_up": {"policy": "all"}},
            "actions": [{"url": receiver.url}],
        }
        first = (await http.post("/v1/timers", json=body)).raise_for_status().json()
    # None three times: the supervisor takes a part that keeps dying for broken, and stops.
    for part in dice.sample(PARTS * 2, 5):
        await asyncio.sleep(dice.uniform(0.2, WITHIN / 5))
        try:
            os.kill(stack.pid(part), signal.SIGKILL)
        except (AssertionError, ProcessLookupError):
            continue  # it is down already
    if dice.random() < 0.5:
        await asyncio.to_thread(stack.kill9)
        stack = await asyncio.to_thread(dev_stack)
    schedule_id = first["occurrence"]["schedule_id"]
    async with httpx.AsyncClient(base_url=stack.url, timeout=90) as http:
        await _answering(http)
        for timer_id in accepted:
            await _settles(http, timer_id)
        ticks = await _ticks(http, schedule_id)
        for timer_id in ticks:
            await _settles(http, timer_id)
    keys = {request.event["subject"]: request.webhook_id for request in receiver.requests}
    assert set(keys) == accepted | set(ticks), "none lost, none invented"
    by_subject = Counter(
        subject
        for subject, _ in {(request.event["subject"], request.webhook_id) for request in receiver.requests}
    )
    assert set(by_subject.values()) == {1}, "each effect has one idempotency key"
    nominal = {
        request.event["data"]["occurrence"]["nominal_at"]
        for request in receiver.requests
        if "occurrence" in request.event["data"]
    }
    assert len(nominal) == len(ticks) == 15, "each time of the schedule once"


async def _settles(http: httpx.AsyncClient, timer_id: str) -> None:
    for _ in range(3):
        timer = (await http.get(f"/v1/timers/{timer_id}", params={"wait": 40})).json()
        if timer["state"] == "settled":
            return
    raise AssertionError(timer)


async def _ticks(http: httpx.AsyncClient, schedule_id: str) -> list[str]:
    """The occurrences of the schedule, once all of them are made."""
    async with asyncio.timeout(60):
        while True:
            schedule = (await http.get(f"/v1/schedules/{schedule_id}")).json()
            if schedule["occurrences"] == 15:
                page = (await http.get("/v1/timers", params={"schedule": schedule_id, "limit": 200})).json()
                return [timer["id"] for timer in page["items"]]
            await asyncio.sleep(0.2)


async def _answering(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await http.get("/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
