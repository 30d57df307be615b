"""Durable sleep, against a real stack: to the end, or until somebody or something wakes it."""

from __future__ import annotations

import asyncio
import time

import pytest
from dev_stacks import DevStack

from minoots import AsyncMinoots, InvalidRequest, Minoots

pytestmark = pytest.mark.e2e


def test_it_sleeps_to_the_end(shared_stack: DevStack) -> None:
    with Minoots(shared_stack.url) as client:
        began = time.monotonic()
        woken = client.sleep("0.5s")
        assert (woken.reason, woken.early, woken.timer.state) == ("slept", False, "settled")
        assert time.monotonic() - began >= 0.5


async def sleeping(client: AsyncMinoots, name: str) -> str:
    """The id of the timer behind a sleep, once it is there."""
    async with asyncio.timeout(20):
        while True:
            async for timer in client.timers.list(name=name):
                return timer.id
            await asyncio.sleep(0.05)


async def test_somebody_wakes_it(shared_stack: DevStack) -> None:
    async with AsyncMinoots(shared_stack.url) as client:
        for name, wake in (("nap-1", client.timers.fire), ("nap-2", client.timers.cancel)):
            sleep = asyncio.create_task(client.sleep("1h", name=name))
            options = {"reason": "come quickly"} if wake == client.timers.cancel else {}
            await wake(await sleeping(client, name), **options)
            woken = await asyncio.wait_for(sleep, 20)
            assert (woken.early, woken.by) == (True, "local")
            expected = ("cancelled", "come quickly") if options else ("fired", None)
            assert (woken.reason, woken.detail) == expected


async def test_an_event_wakes_it(shared_stack: DevStack) -> None:
    async with AsyncMinoots(shared_stack.url) as client:
        await client.agents.register("sleeper")
        wake_on = [{"subject": "nothing"}, {"type": "command.queued"}]
        sleep = asyncio.create_task(client.sleep("1h", name="nap-3", wake_on=wake_on))
        timer_id = await sleeping(client, "nap-3")
        await asyncio.sleep(0.2)
        command = await client.agents.command("sleeper", "wake up")
        woken = await asyncio.wait_for(sleep, 20)
        assert woken.event is not None
        assert (woken.reason, woken.event.subject) == ("event", command.id)
        assert (await client.timers.get(timer_id)).state == "cancelled"


async def test_the_same_key_finds_the_sleep_again(shared_stack: DevStack) -> None:
    async with AsyncMinoots(shared_stack.url) as client:
        first = asyncio.create_task(client.sleep("1500ms", name="nap-4", idempotency_key="nap-4"))
        timer_id = await sleeping(client, "nap-4")
        first.cancel()
        woken = await client.sleep("1500ms", name="nap-4", idempotency_key="nap-4")
        assert (woken.reason, woken.timer.id) == ("slept", timer_id)


async def test_a_misspelt_event_is_refused(shared_stack: DevStack) -> None:
    async with AsyncMinoots(shared_stack.url) as client:
        with pytest.raises(InvalidRequest, match="type, subject and label"):
            await client.sleep("1h", wake_on={"kind": "x"})
