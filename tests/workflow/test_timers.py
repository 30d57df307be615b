"""Timers as workflows, on a real Temporal server, with real records and a real receiver."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from receivers import Answer, Receiver
from stacks import Stack, eventually
from temporalio.client import WorkflowExecutionStatus

from minoots.contracts import TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.records.commands import CancelIt, FireNow, Pause, Reschedule, Resume, SnoozeBy
from minoots_workflows.timers.contracts import Phase
from minoots_workflows.timers.workflow import TimerWorkflow


async def test_a_timer_fires_once_and_settles(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url, after=0.3, payload={"n": 1}, labels={"team": "ops"})
    settled = await stack.reaches(timer, TimerState.SETTLED)
    [request] = receiver.requests
    assert request.event["type"] == "timer.fired"
    assert request.event["subject"] == timer.id
    assert request.event["data"]["payload"] == {"n": 1}
    assert request.event["data"]["timer"]["labels"] == {"team": "ops"}
    assert request.at >= timer.fire_at.timestamp(), "never early"
    assert settled.lateness_ms is not None
    assert settled.lateness_ms >= 0
    [attempt] = await stack.attempts(timer)
    assert (attempt.number, attempt.status, attempt.succeeded) == (1, 204, True)


async def test_the_happy_path_is_one_workflow_and_one_activity(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url)
    await stack.workflow(timer).result()
    history = await stack.workflow(timer).fetch_history()
    scheduled = [
        event for event in history.events if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert [event.activity_task_scheduled_event_attributes.activity_type.name for event in scheduled] == [
        "timers.fire"
    ]


async def test_payloads_never_enter_a_history(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url, payload={"card": "4111-1111"}, metadata={"note": "private-note"})
    await stack.workflow(timer).result()
    history = (await stack.workflow(timer).fetch_history()).to_json()
    for hidden in ("4111-1111", "private-note", receiver.url):
        assert hidden not in history


async def test_snooze_moves_the_next_fire_time(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url, after=30)
    moved = await stack.command(timer, SnoozeBy(timedelta(seconds=0.4)))
    await stack.reaches(timer, TimerState.SETTLED)
    [request] = receiver.requests
    assert request.at >= moved.fire_at.timestamp()
    assert moved.generation == 2


async def test_fire_now_fires_a_timer_that_is_due_in_years(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url, after=86_400 * 365 * 9)
    await stack.command(timer, FireNow())
    await stack.reaches(timer, TimerState.SETTLED)
    assert len(receiver.requests) == 1


async def test_cancel_ends_the_workflow_and_sends_nothing(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url, after=0.6)
    await stack.command(timer, CancelIt("not needed"))
    assert (await stack.workflow(timer).result()).state == "cancelled"
    await asyncio.sleep(max(0.0, (timer.fire_at - utc_now()).total_seconds()) + 0.2)
    assert receiver.requests == []
    assert (await stack.get(timer)).state_reason == "not needed"


async def test_a_paused_timer_does_not_fire_until_resumed(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.set(receiver.url, after=0.5)
    await stack.command(timer, Pause())
    await asyncio.sleep(max(0.0, (timer.fire_at - utc_now()).total_seconds()) + 0.2)
    assert receiver.requests == []
    assert (await stack.workflow(timer).query(TimerWorkflow.state)).phase is Phase.PAUSED
    await stack.command(timer, Resume())
    await stack.reaches(timer, TimerState.SETTLED)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("told", [True, False], ids=["engine told", "engine not told"])
async def test_a_cancel_in_the_last_stretch_still_wins(stack: Stack, receiver: Receiver, told: bool) -> None:
    for late in range(10):
        timer = await stack.set(receiver.url, after=1.0)
        await eventually(
            lambda: stack.workflow(timer).query(TimerWorkflow.state),  # noqa: B023 - used at once
            lambda seen: seen.phase is not Phase.WAITING,
        )
        try:
            await (stack.command if told else stack.change)(timer, CancelIt())
        except Failure:
            continue  # the machine was too busy to look within the last stretch
        assert (await stack.workflow(timer).result()).state == "cancelled"
        await receiver.expect(late)
        assert len(receiver.requests) == late, "those that were not cancelled"
        return
    pytest.fail("the last stretch was over each time")


async def test_a_reschedule_in_the_last_stretch_still_wins_even_unheard(
    stack: Stack, receiver: Receiver
) -> None:
    timer = await stack.set(receiver.url, after=1.0)
    await eventually(
        lambda: stack.workflow(timer).query(TimerWorkflow.state), lambda seen: seen.phase is Phase.FIRING
    )
    moved = await stack.change(timer, Reschedule(fire_at=timer.fire_at + timedelta(seconds=0.7)))
    await stack.reaches(timer, TimerState.SETTLED)
    [request] = receiver.requests
    assert request.at >= moved.fire_at.timestamp()


async def test_a_command_that_comes_too_late_is_told_so(stack: Stack, receiver: Receiver) -> None:
    gate = asyncio.Event()
    receiver.answers(Answer(204, gate=gate))
    timer = await stack.set(receiver.url)
    await receiver.expect(1)
    for command in (CancelIt(), Pause(), SnoozeBy(timedelta(seconds=5)), Reschedule(payload=1), FireNow()):
        with pytest.raises(Failure, match="fired at") as refused:
            await stack.change(timer, command)
        assert refused.value.kind is FailureKind.CONFLICT
    gate.set()
    await stack.reaches(timer, TimerState.SETTLED)


async def test_a_timer_behind_by_a_crash_is_armed_by_the_reconciler(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.accept(receiver.url, after=0.2)  # and the process dies before the hand-over
    assert (await stack.get(timer)).state is TimerState.SCHEDULED
    await eventually(stack.handover.reconcile, lambda taken: taken == 1)
    await stack.reaches(timer, TimerState.SETTLED)
    assert len(receiver.requests) == 1


async def test_a_command_behind_by_a_crash_is_told_by_the_reconciler(
    stack: Stack, receiver: Receiver
) -> None:
    timer = await stack.set(receiver.url, after=60)
    await stack.change(timer, FireNow())
    await eventually(stack.handover.reconcile, lambda taken: taken == 1)
    await stack.reaches(timer, TimerState.SETTLED)


async def test_handing_over_twice_is_harmless(stack: Stack, receiver: Receiver) -> None:
    timer = await stack.accept(receiver.url, after=0.4)
    await asyncio.gather(*(stack.handover.timer(stack.tenant, timer.id) for _ in range(5)))
    await stack.reaches(timer, TimerState.SETTLED)
    assert len(receiver.requests) == 1


async def test_a_terminated_workflow_is_started_anew_with_the_next_command(
    stack: Stack, receiver: Receiver
) -> None:
    timer = await stack.set(receiver.url, after=60)
    await stack.workflow(timer).terminate()
    await stack.command(timer, FireNow())
    await stack.reaches(timer, TimerState.SETTLED)


async def test_cancelling_the_workflow_in_temporal_cancels_the_timer(
    stack: Stack, receiver: Receiver
) -> None:
    timer = await stack.set(receiver.url, after=60)
    await stack.workflow(timer).cancel()
    cancelled = await stack.reaches(timer, TimerState.CANCELLED)
    assert cancelled.closed_by == "temporal"
    described = await eventually(
        stack.workflow(timer).describe, lambda seen: seen.status is not WorkflowExecutionStatus.RUNNING
    )
    assert described.status is WorkflowExecutionStatus.CANCELED


async def test_a_timer_that_is_too_late_is_skipped_by_its_misfire_policy(
    stack: Stack, receiver: Receiver
) -> None:
    await stack.stop_workers()
    misfire = {"policy": "skip", "grace": 0.1}
    skipped = await stack.set(receiver.url, after=0.1, misfire=misfire)
    fired = await stack.set(receiver.url, after=0.1)
    await asyncio.sleep(0.4)
    await stack.start_workers()
    assert (await stack.reaches(skipped, TimerState.CANCELLED)).closed_by == "misfire"
    await stack.reaches(fired, TimerState.SETTLED)
    assert [request.event["subject"] for request in receiver.requests] == [fired.id]


async def test_sixteen_actions_settle_only_when_all_succeeded(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(*[204] * 7, 500, 204)
    actions = [{"url": f"{receiver.url}/{number}"} for number in range(16)]
    timer = await stack.set(receiver.url, actions=actions, retry={"delays": ["0.2s"]})
    settled = await stack.reaches(timer, TimerState.SETTLED)
    attempts = await stack.attempts(timer)
    # Not exactly 17 attempts: where a machine stands still for 2 s, one is overtaken and made anew.
    assert len(receiver.requests) >= 17
    succeeded = [attempt for attempt in attempts if attempt.succeeded]
    assert {attempt.action for attempt in succeeded} == set(range(16))
    assert settled.settled_at is not None
    assert settled.settled_at >= max(attempt.finished_at for attempt in succeeded)


async def test_a_timer_that_temporal_lost_is_rescued_after_its_due_time(
    stack: Stack, receiver: Receiver
) -> None:
    lost = await stack.set(receiver.url, after=0.6)
    await stack.workflow(lost).terminate()
    held = await stack.set(receiver.url, after=60)
    await asyncio.sleep(max(0.0, (lost.fire_at - utc_now()).total_seconds()) + 0.1)
    assert await stack.handover.rescue(timedelta(0)) == 1
    await stack.reaches(lost, TimerState.SETTLED)
    assert (await stack.get(held)).state is TimerState.ARMED
    assert await stack.handover.rescue(timedelta(0)) == 0


async def test_a_rescue_does_not_disturb_a_timer_that_merely_waits_for_a_worker(
    stack: Stack, receiver: Receiver
) -> None:
    gate = asyncio.Event()
    receiver.answers(Answer(204, gate=gate))
    timer = await stack.set(receiver.url, after=1.0)
    first_run = (await stack.workflow(timer).describe()).run_id
    assert await stack.handover.rescue(timedelta(seconds=-5)) == 1
    gate.set()
    await stack.reaches(timer, TimerState.SETTLED)
    assert (await stack.workflow(timer).describe()).run_id == first_run
    assert len(receiver.requests) == 1


async def test_a_name_of_the_greatest_length_fits_into_temporal(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500, 204)
    timer = await stack.set(receiver.url, name="🫖" * 200, retry={"delays": ["0.1s"]})
    await stack.reaches(timer, TimerState.SETTLED)
    assert receiver.requests[0].event["data"]["timer"]["name"] == "🫖" * 200
