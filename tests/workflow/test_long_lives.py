"""Timers that live long: ten years in milliseconds, and histories that do not grow without bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from receivers import Receiver
from stacks import TEMPORAL, short_histories
from temporalio import activity
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from minoots.contracts import TimerState
from minoots_platform.clock import utc_now
from minoots_platform.records import Database
from minoots_platform.records.commands import FireNow, SnoozeBy
from minoots_platform.telemetry import Telemetry
from minoots_workflows.queues import Queue
from minoots_workflows.timers.contracts import (
    FireOutcome,
    FireReport,
    FireRequest,
    Phase,
    TimerChange,
    TimerClose,
    TimerStart,
)
from minoots_workflows.timers.port import TimersPort
from minoots_workflows.timers.workflow import TimerWorkflow

YEARS = timedelta(days=3650)


class FiringNotes(TimersPort):
    """Notes what it was asked to fire. Time is skipped, so nothing may wait for real."""

    def __init__(self) -> None:
        self.requests: list[FireRequest] = []

    @activity.defn(name="timers.fire")
    async def fire(self, request: FireRequest) -> FireReport:
        self.requests.append(request)
        return FireReport(outcome=FireOutcome.SETTLED)

    @activity.defn(name="timers.close")
    async def close(self, request: TimerClose) -> None:
        raise AssertionError("nothing is cancelled here")


@pytest.fixture(scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips time whenever nothing is under way."""
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        dev_server_extra_args=[
            *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
            *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"'),
        ],
    ) as environment:
        yield environment


async def test_a_timer_of_ten_years_wakes_its_lead_before_the_due_time(skipping: WorkflowEnvironment) -> None:
    notes = FiringNotes()
    async with (
        Worker(skipping.client, task_queue=Queue.CORE, workflows=[TimerWorkflow]),
        Worker(skipping.client, task_queue=Queue.IO, activities=[notes.fire, notes.close]),
    ):
        fire_at = utc_now() + YEARS
        start = TimerStart(
            tenant="acme", timer_id="tmr_1", name="t", generation=1, fire_at=fire_at, lead_ms=2000
        )
        handle = await skipping.client.start_workflow(
            TimerWorkflow.run, start, id="timer:acme:tmr_1", task_queue=Queue.CORE
        )
        assert (await handle.result()).state == "settled"
        described = await handle.describe()
    [request] = notes.requests
    assert request.wake_at == fire_at - timedelta(seconds=2)
    assert described.close_time is not None
    assert abs(described.close_time - fire_at) < timedelta(minutes=1), "it slept ten years of its own time"


async def test_a_paused_timer_sleeps_past_its_due_time(skipping: WorkflowEnvironment) -> None:
    notes = FiringNotes()
    async with (
        Worker(skipping.client, task_queue=Queue.CORE, workflows=[TimerWorkflow]),
        Worker(skipping.client, task_queue=Queue.IO, activities=[notes.fire, notes.close]),
    ):
        fire_at = utc_now() + timedelta(hours=1)
        start = TimerStart(
            tenant="acme", timer_id="tmr_2", name="t", generation=1, fire_at=fire_at, lead_ms=500, paused=True
        )
        handle = await skipping.client.start_workflow(
            TimerWorkflow.run, start, id="timer:acme:tmr_2", task_queue=Queue.CORE
        )
        assert (await handle.query(TimerWorkflow.state)).phase is Phase.PAUSED
        assert notes.requests == []
        change = TimerChange(generation=2, fire_at=fire_at, lead_ms=500)
        await handle.execute_update(TimerWorkflow.resume, change)
        assert (await handle.result()).state == "settled"


async def test_a_timer_snoozed_for_ever_continues_as_new_and_still_fires(
    sqlite_database: Database, receiver: Receiver, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry, events=40) as stack:
        timer = await stack.set(receiver.url, after=600)
        first_run = (await stack.workflow(timer).describe()).run_id
        for _ in range(30):
            await stack.command(timer, SnoozeBy(timedelta(seconds=600)))
        described = await stack.workflow(timer).describe()
        assert described.run_id != first_run
        assert described.history_length < 80, "the history was left behind"
        await stack.command(timer, FireNow())
        settled = await stack.reaches(timer, TimerState.SETTLED)
    assert settled.generation == 32
    assert len(receiver.requests) == 1
