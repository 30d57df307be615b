"""Limits, lines and circuits of destinations, on real parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from receivers import Answer, Receiver
from stacks import Stack, eventually, short_histories

from minoots.contracts import Destination, DestinationSave, DestinationState, Timer, TimerState
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, deliveries, destination_commands, destinations
from minoots_platform.records.commands import CancelIt
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id

QUICK = {"minimum": 2, "failure_rate": 1.0, "window": "60s", "open_for": "5s"}
ONCE_MORE = {"delays": ["0.1s"]}


@pytest.fixture(autouse=True)
async def reconciling(stack: Stack) -> AsyncIterator[None]:
    """The reconciler that every worker process runs."""
    task = asyncio.create_task(stack.handover.run(timedelta(seconds=0.1)))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def save(stack: Stack, url: str, **settings: Any) -> Destination:
    """Keep the limits of a destination."""
    async with stack.database.write() as connection:
        wanted = DestinationSave.model_validate({"url": url, **settings})
        saved, _ = await destination_commands.save(
            connection, stack.tenant, wanted, now=utc_now(), actor="tester"
        )
    return saved


async def only(stack: Stack) -> Destination:
    """The only destination."""
    async with stack.database.read() as connection:
        (one,) = (await destinations.page(connection, stack.tenant, limit=10, cursor=None)).items
    return one


async def waits(stack: Stack, timer: Timer) -> str:
    """The id of a timer's delivery, once that waits."""

    async def look() -> Any:
        async with stack.database.read() as connection:
            return await deliveries.of_timer(connection, timer.id)

    found = await eventually(look, lambda rows: [row.state for row in rows] == ["waiting"])
    return str(found[0].id)


async def all_settle(stack: Stack, timers: list[Timer]) -> list[Timer]:
    """The timers, once all have settled."""
    return list(await asyncio.gather(*(stack.reaches(timer, TimerState.SETTLED) for timer in timers)))


async def test_a_rate_spreads_what_fires_at_one_moment(stack: Stack, receiver: Receiver) -> None:
    await save(stack, receiver.url, rate={"requests": 2, "per": "0.5s"})
    timers = await all_settle(stack, [await stack.set(receiver.url) for _ in range(6)])
    made = sorted([(await stack.attempts(timer))[0] for timer in timers], key=lambda one: one.planned_at)
    assert len(receiver.requests) == 6
    assert [one.number for one in made] == [1] * 6, "to wait is no attempt"
    # Three pairs. Where one begins late, the moments of those after it move, each by itself.
    assert made[-1].planned_at - made[0].planned_at >= timedelta(seconds=1)
    assert all(one.started_at >= one.planned_at for one in made), "never before its moment"


async def test_what_waits_for_others_goes_as_soon_as_they_are_done(stack: Stack, receiver: Receiver) -> None:
    gate = asyncio.Event()
    receiver.answers(Answer(204, gate=gate), 204)
    await save(stack, receiver.url, concurrency=1)
    first = await stack.set(receiver.url)
    await receiver.expect(1)
    others = [await stack.set(receiver.url) for _ in range(3)]
    for timer in others:
        await waits(stack, timer)
    assert len(receiver.requests) == 1
    gate.set()
    await all_settle(stack, [first, *others])
    assert len({request.webhook_id for request in receiver.requests}) == 4
    assert len(receiver.requests) == 4


async def test_a_line_keeps_its_order_through_a_retry(stack: Stack, receiver: Receiver) -> None:
    gate = asyncio.Event()
    receiver.answers(Answer(500, gate=gate), 204)
    spec = {"actions": [{"url": receiver.url, "fifo_key": "orders"}], "retry": ONCE_MORE}
    timers = [await stack.set(receiver.url, payload=0, **spec)]
    await receiver.expect(1)
    for number in (1, 2, 3):
        timers.append(await stack.set(receiver.url, payload=number, **spec))
        await waits(stack, timers[-1])
    gate.set()
    await all_settle(stack, timers)
    assert [request.event["data"]["payload"] for request in receiver.requests] == [0, 0, 1, 2, 3]


async def test_an_open_circuit_loses_nothing_and_closes_by_a_probe(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(503)
    await save(stack, receiver.url, circuit=QUICK)
    failing = [await stack.set(receiver.url, retry={"delays": ["1s"] * 5}) for _ in range(2)]
    await eventually(lambda: only(stack), lambda one: one.state is DestinationState.OPEN)
    sent = len(receiver.requests)
    waiting = [await stack.set(receiver.url, after=0.05) for _ in range(3)]
    for timer in waiting:
        await waits(stack, timer)
    assert len(receiver.requests) == sent
    receiver.answers(204)
    await all_settle(stack, [*failing, *waiting])
    assert (await only(stack)).state is DestinationState.CLOSED
    assert len(receiver.requests) == sent + 5, "each once, none twice"


async def test_what_was_opened_by_hand_goes_on_when_it_is_closed(stack: Stack, receiver: Receiver) -> None:
    one = await save(stack, receiver.url)
    async with stack.database.write() as connection:
        await destination_commands.open_circuit(
            connection, stack.tenant, one.id, reason="maintenance", now=utc_now(), actor="ops"
        )
    timers = [await stack.set(receiver.url, after=0.05) for _ in range(3)]
    for timer in timers:
        await waits(stack, timer)
    async with stack.database.write() as connection:
        _, released = await destination_commands.close_circuit(
            connection, stack.tenant, one.id, now=utc_now(), actor="ops"
        )
    await stack.handover.deliveries(stack.tenant, released)
    await all_settle(stack, timers)
    assert len(receiver.requests) == 3


async def test_a_waiting_timer_can_be_cancelled_and_makes_way(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500, 204)
    action = {"url": receiver.url, "fifo_key": "orders"}
    first = await stack.set(receiver.url, actions=[action], retry={"delays": ["10m"]})
    await eventually(lambda: stack.attempts(first), lambda found: len(found) == 1)
    second = await stack.set(receiver.url, after=0.05, actions=[action])
    third = await stack.set(receiver.url, after=0.1, actions=[action])
    await waits(stack, second)
    await waits(stack, third)
    await stack.command(second, CancelIt())
    await stack.command(first, CancelIt())
    await stack.reaches(third, TimerState.SETTLED)
    assert (await stack.workflow(second).result()).state == "cancelled"
    assert len(receiver.requests) == 2


async def test_a_delivery_that_the_engine_lost_is_started_anew(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500, 204)
    timer = await stack.set(receiver.url, retry={"delays": ["0.5s"]})
    await eventually(lambda: stack.attempts(timer), lambda found: len(found) == 1)
    async with stack.database.read() as connection:
        (row,) = await deliveries.of_timer(connection, timer.id)
    lost = stack.client.get_workflow_handle(workflow_id("delivery", stack.tenant, row.id))

    async def terminate() -> bool:
        try:
            await lost.terminate("lost")
        except Exception:
            return False
        return True

    await eventually(terminate, bool)
    await asyncio.sleep(0.6)
    assert await stack.handover.rescue(timedelta(0)) >= 1
    await stack.reaches(timer, TimerState.SETTLED)


@pytest.mark.timeout(400)
async def test_a_delivery_that_waits_for_long_continues_as_new(
    sqlite_database: Database, receiver: Receiver, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        one = await save(stack, receiver.url)
        async with stack.database.write() as connection:
            await destination_commands.open_circuit(
                connection, stack.tenant, one.id, reason=None, now=utc_now(), actor="ops"
            )
        timer = await stack.set(receiver.url, after=0.05)
        delivery_id = await waits(stack, timer)
        handle = stack.client.get_workflow_handle(workflow_id("delivery", stack.tenant, delivery_id))
        first_run = (await eventually(lambda: described(handle), bool)).run_id
        for _ in range(12):
            await stack.handover.rescue(timedelta(days=-1))
        latest = await eventually(
            lambda: described(handle), lambda seen: bool(seen) and seen.run_id != first_run
        )
        assert latest.history_length < 60
        async with stack.database.write() as connection:
            _, released = await destination_commands.close_circuit(
                connection, stack.tenant, one.id, now=utc_now(), actor="ops"
            )
        await stack.handover.deliveries(stack.tenant, released)
        await stack.reaches(timer, TimerState.SETTLED)
    assert len(receiver.requests) == 1


async def described(handle: Any) -> Any:
    """What Temporal says of a workflow; nothing when it has not begun."""
    try:
        return await handle.describe()
    except Exception:
        return None
