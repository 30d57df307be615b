"""Schedules end to end: real records, real Temporal, a real receiver; ten years in seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from receivers import Receiver
from stacks import TEMPORAL, TENANT, Stack, eventually, short_histories
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from minoots.contracts import Schedule, ScheduleState, Timer, TimerCreate, TimerState
from minoots_activities.schedules.adapter import Schedules
from minoots_platform.clock import utc_now
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, schedules, schema, timers
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id
from minoots_workflows.queues import Queue
from minoots_workflows.schedules.contracts import ScheduleProgress, ScheduleStart
from minoots_workflows.schedules.workflow import ScheduleWorkflow


class Absent:
    """An engine that takes everything and does nothing: only the schedule's own workflow is looked at."""

    async def tell(self, **_: Any) -> None: ...
    async def deliver(self, **_: Any) -> bool:
        return True

    async def replay(self, **_: Any) -> None: ...
    async def schedule(self, **_: Any) -> None: ...


async def accepted(database: Database, url: str, now: datetime, **schedule: Any) -> Timer:
    """Keep a schedule; return its first occurrence."""
    spec = TimerCreate.model_validate({"name": "tick", "schedule": schedule, "actions": [{"url": url}]})
    async with database.write() as connection:
        return await schedules.accept(connection, TENANT, spec, now=now, actor="test", traceparent=None)


def id_of(timer: Timer) -> str:
    assert timer.occurrence is not None
    return timer.occurrence.schedule_id


async def get(database: Database, schedule_id: str) -> Schedule:
    async with database.read() as connection:
        return await schedules.get(connection, TENANT, schedule_id)


async def occurrences(database: Database, schedule_id: str) -> list[Timer]:
    async with database.read() as connection:
        wanted = timers.TimerQuery(schedule_id=schedule_id, sort="due", limit=200)
        return list((await timers.page(connection, TENANT, wanted)).items)


def workflow(stack: Stack, schedule_id: str) -> WorkflowHandle[ScheduleWorkflow, ScheduleProgress]:
    return stack.client.get_workflow_handle_for(
        ScheduleWorkflow.run, workflow_id("schedule", TENANT, schedule_id)
    )


async def handed_over(stack: Stack, receiver: Receiver, **schedule: Any) -> str:
    """Set a schedule and hand it over; return its id."""
    schedule_id = id_of(await accepted(stack.database, receiver.url, utc_now(), **schedule))
    assert await stack.handover.schedule(TENANT, schedule_id)
    await stack.handover.timers_of(schedule_id)
    return schedule_id


async def test_each_occurrence_fires_once_and_the_schedule_ends(stack: Stack, receiver: Receiver) -> None:
    # So far apart that none overtakes another where the machine stands still for a moment.
    schedule_id = await handed_over(stack, receiver, rules=[{"every": "3s"}], count=4)
    progress = await workflow(stack, schedule_id).result()
    assert progress.state == ScheduleState.ENDED
    for timer in await occurrences(stack.database, schedule_id):
        await stack.reaches(timer, TimerState.SETTLED)
    numbers = [request.event["data"]["occurrence"]["number"] for request in receiver.requests]
    assert numbers == [1, 2, 3, 4]
    times = [request.event["data"]["occurrence"]["nominal_at"] for request in receiver.requests]
    assert len(set(times)) == 4


async def test_one_that_overlaps_waits_and_goes_as_soon_as_it_may(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500, 204)
    spec = TimerCreate.model_validate(
        {
            "name": "tick",
            "schedule": {"rules": [{"every": "1s"}], "count": 2, "overlap": "buffer_all"},
            "actions": [{"url": receiver.url}],
            "retry": {"delays": ["2500ms"]},
        }
    )
    async with stack.database.write() as connection:
        first = await schedules.accept(
            connection, TENANT, spec, now=utc_now(), actor="test", traceparent=None
        )
    schedule_id = id_of(first)
    assert await stack.handover.schedule(TENANT, schedule_id)
    await stack.handover.timers_of(schedule_id)
    for timer in await occurrences(stack.database, schedule_id):
        # The reconciler that hands the released one over runs beside a real worker.
        await eventually(
            lambda timer=timer: reconciled(stack, timer), lambda found: found.state is TimerState.SETTLED
        )
    numbers = [request.event["data"]["occurrence"]["number"] for request in receiver.requests]
    assert numbers == [1, 1, 2]


async def reconciled(stack: Stack, timer: Timer) -> Timer:
    await stack.handover.timers_of(id_of(timer))
    return await stack.get(timer)


async def test_a_paused_schedule_makes_nothing_until_it_is_resumed(stack: Stack, receiver: Receiver) -> None:
    schedule_id = await handed_over(stack, receiver, rules=[{"every": "1h"}])
    for command, state in ((schedules.pause, "paused"), (schedules.resume, "active")):
        async with stack.database.write() as connection:
            await command(connection, TENANT, schedule_id, now=utc_now(), actor="test")
        assert await stack.handover.schedule(TENANT, schedule_id)
        await eventually(
            lambda: workflow(stack, schedule_id).query(ScheduleWorkflow.state),
            lambda seen, state=state: seen.state == state,
        )
    assert receiver.requests == []


async def test_a_cancelled_schedule_ends_its_workflow(stack: Stack, receiver: Receiver) -> None:
    schedule_id = await handed_over(stack, receiver, rules=[{"every": "1h"}])
    async with stack.database.write() as connection:
        await schedules.cancel(connection, TENANT, schedule_id, None, now=utc_now(), actor="test")
    assert await stack.handover.schedule(TENANT, schedule_id)
    assert (await workflow(stack, schedule_id).result()).state == ScheduleState.CANCELLED


async def test_a_schedule_behind_by_a_crash_is_started_by_the_reconciler(
    stack: Stack, receiver: Receiver
) -> None:
    # Accepted, and then the gateway died: nobody was told.
    then = utc_now() - timedelta(seconds=5)
    seconds = {"rules": [{"every": "1s"}], "count": 8, "catch_up": {"policy": "all"}}
    schedule_id = id_of(await accepted(stack.database, receiver.url, then, **seconds))
    await stack.handover.reconcile()
    assert (await workflow(stack, schedule_id).result()).state == ScheduleState.ENDED
    made = await occurrences(stack.database, schedule_id)
    for timer in made:
        await stack.reaches(timer, TimerState.SETTLED)
    assert len(receiver.requests) == len(made) == 8


@pytest.fixture(scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips time whenever nothing is under way.

    Within one run: a new run of a workflow would begin with the skipped time counted twice.
    """
    values = ("frontend.WorkflowTimeSkippingEnabled=true", 'history.timerProcessorMaxTimeShift="10ms"')
    arguments = [word for value in values for word in ("--dynamic-config-value", value)]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        dev_server_extra_args=arguments,
    ) as environment:
        yield environment


async def test_a_monthly_schedule_of_ten_years_misses_no_month(
    skipping: WorkflowEnvironment, sqlite_database: Database
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    timer = await accepted(
        sqlite_database,
        "http://127.0.0.1:9/",
        utc_now(),
        rules=[{"cron": "30 2 1 * *"}],
        zone=zone.key,
        count=120,
    )
    schedule_id = id_of(timer)
    handover = HandOver(sqlite_database, Absent())
    adapter = Schedules(sqlite_database, handover, lambda: activity.info().scheduled_time)
    async with (
        Worker(skipping.client, task_queue=Queue.CORE, workflows=[ScheduleWorkflow]),
        Worker(skipping.client, task_queue=Queue.IO, activities=[adapter.advance]),
    ):
        public_id = workflow_id("schedule", TENANT, schedule_id)
        handle = await skipping.client.start_workflow(
            ScheduleWorkflow.run,
            ScheduleStart(tenant=TENANT, schedule_id=schedule_id, name="rent"),
            id=public_id,
            task_queue=Queue.CORE,
        )
        assert (await handle.result()).state == "ended"
    made = await occurrences(sqlite_database, schedule_id)
    assert len(made) == 120
    local = [timer.fire_at.astimezone(zone) for timer in made]
    assert {(at.day, at.hour, at.minute) for at in local} == {(1, 2, 30)}
    months = [at.year * 12 + at.month for at in local]
    assert {after - before for before, after in pairwise(months)} == {1}
    assert (await get(sqlite_database, schedule_id)).missed == 0


async def test_a_schedule_that_temporal_lost_is_rescued(stack: Stack, receiver: Receiver) -> None:
    schedule_id = await handed_over(stack, receiver, rules=[{"every": "1s"}], count=25)
    await eventually(
        lambda: workflow(stack, schedule_id).query(ScheduleWorkflow.state), lambda seen: bool(seen.generation)
    )
    await workflow(stack, schedule_id).terminate()
    # Its last timer came and nobody made the next one.
    async with stack.database.write() as connection:
        await connection.execute(
            sa.update(schema.schedules).values(cursor=utc_now() - timedelta(seconds=5), remaining=1)
        )
    # On a busy machine some of its timers may be late by so much, too.
    assert await stack.handover.rescue(timedelta(seconds=1)) >= 1
    assert (await workflow(stack, schedule_id).result()).state == ScheduleState.ENDED


async def test_a_schedule_goes_on_after_continuing_as_new(
    sqlite_database: Database, receiver: Receiver, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        schedule_id = await handed_over(stack, receiver, rules=[{"every": "1h"}])
        first_run = (await workflow(stack, schedule_id).describe()).run_id
        for _ in range(10):
            for command in (schedules.pause, schedules.resume):
                async with sqlite_database.write() as connection:
                    await command(connection, TENANT, schedule_id, now=utc_now(), actor="test")
                assert await stack.handover.schedule(TENANT, schedule_id)
        found = await get(sqlite_database, schedule_id)
        seen = await eventually(
            lambda: workflow(stack, schedule_id).query(ScheduleWorkflow.state),
            lambda seen: seen.generation == found.generation,
        )
        described = await workflow(stack, schedule_id).describe()
    assert seen.state == "active"
    assert described.run_id != first_run
    assert found.generation == 21
    assert datetime.now(UTC) > found.created_at
