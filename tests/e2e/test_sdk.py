"""The SDK and the command line against a real stack."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from pathlib import Path

import dev_stacks
import pytest
from dev_stacks import DevStack
from receivers import Receiver

from minoots import AsyncMinoots, Conflict, Minoots, NotFound, Queued, Stale
from minoots.contracts import TimerState

pytestmark = pytest.mark.e2e


def minoots(stack: DevStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line against ``stack``."""
    environment = dev_stacks.environment() | {"MINOOTS_URL": stack.url, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [dev_stacks.MINOOTS, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


async def test_a_timer_is_set_waited_for_and_explained(shared_stack: DevStack, receiver: Receiver) -> None:
    async with AsyncMinoots(shared_stack.url) as client:
        timer = await client.timers.create(
            name="tea", after="0.3s", webhook=receiver.url, payload={"n": 1}, labels={"sdk": "a"}
        )
        settled = await client.timers.wait(timer.id, timeout=30)
        assert settled.state is TimerState.SETTLED
        assert "every action succeeded" in (await client.timers.why(timer.id)).summary
        listed = [found.id async for found in client.timers.list(label={"sdk": "a"})]
        assert listed == [timer.id]
        [attempt] = [found async for found in client.timers.attempts(timer.id)]
        assert attempt.succeeded
    [request] = receiver.requests
    assert request.event["data"]["payload"] == {"n": 1}


def test_the_sync_client_does_the_same(shared_stack: DevStack) -> None:
    with Minoots(shared_stack.url) as client:
        timer = client.timers.create(name="s", after="1h", webhook="http://127.0.0.1:9/hook")
        snoozed = client.timers.snooze(timer.id, "2h")
        assert snoozed.generation == 2
        with pytest.raises(Stale):
            client.timers.update(timer.id, payload=1, generation=1)
        assert client.timers.update(timer.id, payload={"x": 1}, generation=2).payload == {"x": 1}
        assert client.timers.pause(timer.id).state is TimerState.PAUSED
        assert client.timers.resume(timer.id).state in (TimerState.ARMED, TimerState.SCHEDULED)
        assert client.timers.cancel(timer.id, reason="done").state is TimerState.CANCELLED
        with pytest.raises(Conflict, match="was cancelled"):
            client.timers.cancel(timer.id)
        with pytest.raises(NotFound):
            client.timers.get("tmr_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK")
        assert len(client.timers.preview(retry={"attempts": 4}).attempts) == 4
        assert client.secrets.create("sdk").key.startswith("whsec_")


async def test_a_stream_of_events_survives_a_gateway_that_is_killed(dev_stack: object) -> None:
    stack: DevStack = await asyncio.to_thread(dev_stack)  # type: ignore[arg-type]
    async with AsyncMinoots(stack.url, retries=10) as client:
        first = await client.timers.create(name="one", after="1h", webhook="http://127.0.0.1:9/")
        seen: list[tuple[int, str, str]] = []

        async def follow() -> None:
            async for event in client.events.stream(after=0):
                seen.append((event.sequence, event.subject, event.type))

        following = asyncio.create_task(follow())
        while not any(subject == first.id for _, subject, _ in seen):
            await asyncio.sleep(0.05)
        os.kill(stack.pid("gateway"), 9)
        second = await client.timers.create(name="two", after="1h", webhook="http://127.0.0.1:9/")
        async with asyncio.timeout(30):
            while not any(subject == second.id for _, subject, _ in seen):
                await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    numbers = [number for number, _, _ in seen]
    assert numbers == list(range(1, len(numbers) + 1)), "nothing skipped, nothing twice"


def test_the_outbox_keeps_timers_while_the_gateway_is_away(shared_stack: DevStack, tmp_path: Path) -> None:
    with Minoots("http://127.0.0.1:1", outbox=tmp_path / "outbox.db", retries=0) as away:
        queued = [
            away.timers.create(
                name=f"q{number}", after="1h", webhook="http://127.0.0.1:9/", labels={"box": "1"}
            )
            for number in range(3)
        ]
    assert all(isinstance(one, Queued) for one in queued)
    with Minoots(shared_stack.url, outbox=tmp_path / "outbox.db") as back:
        assert len(back.outbox.flush().sent) == 3
        assert len(back.outbox.flush().sent) == 0
        names = [timer.name for timer in back.timers.list(label={"box": "1"}, sort="created")]
    assert names == ["q0", "q1", "q2"]


def test_the_command_line_from_create_to_why(shared_stack: DevStack) -> None:
    made = minoots(
        shared_stack, "timers", "create", "tea", "--after", "1h", "--webhook", "http://127.0.0.1:9/", "--json"
    )
    assert made.returncode == 0, made.stderr
    timer_id = json.loads(made.stdout)["id"]
    assert timer_id in minoots(shared_stack, "timers", "list").stdout
    both = ("timers", "list", "--state", "armed", "--state", "scheduled", "--json")
    assert timer_id in minoots(shared_stack, *both).stdout
    assert minoots(shared_stack, "timers", "snooze", timer_id, "2h").returncode == 0
    why = minoots(shared_stack, "timers", "why", timer_id).stdout
    assert "waiting" in why
    assert "unknown" not in why
    assert minoots(shared_stack, "timers", "cancel", timer_id).returncode == 0
    again = minoots(shared_stack, "timers", "cancel", timer_id)
    assert again.returncode == 4
    assert "was cancelled" in again.stderr
    assert minoots(shared_stack, "timers", "show", "tmr_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK").returncode == 3
    assert "Traceback" not in again.stderr


def test_watch_follows_a_timer_to_its_end(shared_stack: DevStack, tmp_path: Path) -> None:
    made = minoots(
        shared_stack, "timers", "create", "w", "--after", "2s", "--webhook", "http://127.0.0.1:9/", "--json"
    )
    timer_id = json.loads(made.stdout)["id"]
    cancelling = threading.Timer(1, lambda: minoots(shared_stack, "timers", "cancel", timer_id))
    cancelling.start()
    watched = minoots(shared_stack, "timers", "watch", timer_id)
    cancelling.join()
    assert "timer.cancelled" in watched.stdout + watched.stderr
    assert watched.returncode == 8
