"""The moment of sending: who may fire a timer, and who is too late."""

from __future__ import annotations

import asyncio

import pytest
from ledger import URL, Ledger

from minoots.contracts import DeliveryState, TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.records import commands, firing
from minoots_platform.records.firing import Claimed, Overtaken, Skipped

ROUNDS = 15


async def close(ledger: Ledger, timer_id: str) -> None:
    """Somebody cancelled the workflow in Temporal."""
    async with ledger.writing() as connection:
        await firing.close(connection, ledger.tenant, timer_id, by="temporal", now=ledger.now)


@pytest.mark.parametrize("state", [TimerState.SCHEDULED, TimerState.ARMED])
async def test_a_timer_that_fires_makes_one_delivery_an_action(ledger: Ledger, state: TimerState) -> None:
    actions = [{"url": f"{URL}/{number}"} for number in range(3)]
    timer = await ledger.in_state(state, actions=actions)
    ledger.now = timer.fire_at
    ledger.pass_time(0.012)
    claims = await ledger.fire(timer)
    assert [(claim.action, claim.url) for claim in claims] == [(n, f"{URL}/{n}") for n in range(3)]
    assert [claim.webhook_id for claim in claims] == [f"{timer.id}_1_{n}" for n in range(3)]
    assert {claim.number for claim in claims} == {1}
    assert {claim.planned_at for claim in claims} == {timer.fire_at}
    fired = await ledger.get(timer)
    assert (fired.state, fired.fired_at, fired.lateness_ms) == (TimerState.FIRED, ledger.now, 12)
    assert fired.generation == 1, "firing is no change by anybody"
    event = (await ledger.events())[-1]
    assert (event.type, event.data["lateness_ms"]) == ("timer.fired", 12)


async def test_a_rolled_back_claim_leaves_no_trace(ledger: Ledger) -> None:
    timer = await ledger.accept()
    spec = await ledger.spec(timer)
    events = await ledger.events()

    async def claim_and_fail() -> None:
        async with ledger.writing() as connection:
            await firing.claim(connection, spec, execution=1, now=ledger.now)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await claim_and_fail()
    assert await ledger.get(timer) == timer
    assert await ledger.states(timer) == []
    assert await ledger.events() == events


async def test_a_later_execution_takes_over_what_a_died_one_had_not_recorded(ledger: Ledger) -> None:
    timer = await ledger.accept(actions=[{"url": URL}, {"url": f"{URL}/2"}])
    first = await ledger.fire(timer)
    fired_at = ledger.now
    await ledger.record(ledger.succeeded(first[0]))
    ledger.pass_time(3)
    claimed = await ledger.claim(await ledger.spec(timer), execution=2)
    assert isinstance(claimed, Claimed)
    assert claimed.fired_at == fired_at, "it fired then; taking over is not firing again"
    assert [(claim.action, claim.execution) for claim in claimed.claims] == [(1, 2)]
    assert claimed.claims[0].webhook_id == first[1].webhook_id
    assert (await ledger.told(timer)).count("timer.fired") == 1
    await ledger.record(ledger.succeeded(claimed.claims[0]))
    assert (await ledger.get(timer)).state is TimerState.SETTLED


async def test_an_execution_that_was_only_frozen_does_not_take_the_claim_back(ledger: Ledger) -> None:
    timer = await ledger.accept()
    spec = await ledger.spec(timer)
    assert isinstance(await ledger.claim(spec, execution=2), Claimed)
    back = await ledger.claim(spec, execution=1)
    assert back == Overtaken(TimerState.FIRED, 1, timer.fire_at)
    again = await ledger.claim(spec, execution=3)
    assert isinstance(again, Claimed)
    assert [claim.execution for claim in again.claims] == [3]


@pytest.mark.parametrize(
    "command", [commands.FireNow(), commands.Reschedule(payload=1), commands.Pause(), commands.CancelIt()]
)
async def test_a_change_after_the_spec_was_read_overtakes_it(
    ledger: Ledger, command: commands.Command
) -> None:
    timer = await ledger.accept()
    spec = await ledger.spec(timer)
    changed = await ledger.change(timer, command)
    assert await ledger.claim(spec) == Overtaken(changed.state, 2, changed.fire_at)
    assert await ledger.states(timer) == []
    assert await ledger.get(timer) == changed


@pytest.mark.parametrize(
    "state", [TimerState.PAUSED, TimerState.CANCELLED, TimerState.SETTLED, TimerState.FAILED]
)
async def test_what_does_not_wait_to_fire_does_not_fire(ledger: Ledger, state: TimerState) -> None:
    timer = await ledger.in_state(state)
    claimed = await ledger.claim(await ledger.spec(timer), execution=9)
    assert claimed == Overtaken(state, timer.generation, timer.fire_at)


async def test_the_spec_of_an_unknown_timer_is_not_found(ledger: Ledger) -> None:
    timer = await ledger.accept()
    with pytest.raises(Failure) as caught:
        await ledger.of("globex").spec(timer)
    assert caught.value.kind is FailureKind.NOT_FOUND


@pytest.mark.parametrize(("late", "skipped"), [(0, False), (5, False), (5.1, True), (3600, True)])
async def test_a_timer_that_may_be_skipped_is_when_it_is_later_than_its_grace(
    ledger: Ledger, late: float, skipped: bool
) -> None:
    timer = await ledger.accept(misfire={"policy": "skip", "grace": "5s"})
    ledger.now = timer.fire_at
    ledger.pass_time(late)
    claimed = await ledger.claim(await ledger.spec(timer))
    after = await ledger.get(timer)
    if not skipped:
        assert isinstance(claimed, Claimed)
        assert after.state is TimerState.FIRED
        return
    assert claimed == Skipped()
    assert (after.state, after.closed_by, after.settled_at) == (TimerState.CANCELLED, "misfire", ledger.now)
    assert after.state_reason == f"skipped: {late:.1f} s late, more than its grace"
    assert await ledger.states(timer) == []
    event = (await ledger.events())[-1]
    assert (event.type, event.data["late_by_ms"]) == ("timer.skipped", late * 1000)
    assert await ledger.claim(await ledger.spec(timer), execution=2) == Overtaken(
        TimerState.CANCELLED, 1, timer.fire_at
    )


async def test_without_a_misfire_policy_the_latest_timer_fires(ledger: Ledger) -> None:
    timer = await ledger.accept()
    ledger.pass_time(30 * 86_400)
    await ledger.fire(timer)
    assert (await ledger.get(timer)).lateness_ms == (30 * 86_400 - 60) * 1000


async def test_closing_in_temporal_cancels_what_waits_and_nothing_else(ledger: Ledger) -> None:
    waiting = await ledger.in_state(TimerState.ARMED)
    await close(ledger, waiting.id)
    closed = await ledger.get(waiting)
    assert (closed.state, closed.closed_by, closed.generation) == (TimerState.CANCELLED, "temporal", 2)
    assert closed.state_reason == "its workflow was cancelled in temporal"
    assert await ledger.outstanding(waiting) is None, "Temporal knows already"
    assert (await ledger.told(waiting))[-1] == "timer.cancelled"
    fired = await ledger.in_state(TimerState.FIRED)
    for timer in (fired, closed):
        events = await ledger.events()
        await close(ledger, timer.id)
        assert await ledger.get(timer) == timer
        assert await ledger.events() == events


async def test_of_two_that_fire_at_once_one_wins(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    for _ in range(ROUNDS):
        timer = await ledger.accept()
        spec = await ledger.spec(timer)
        await asyncio.gather(ledger.claim(spec, execution=1), ledger.claim(spec, execution=1))
        assert await ledger.states(timer) == [DeliveryState.SENDING]
        assert (await ledger.told(timer)).count("timer.fired") == 1


async def test_of_cancel_and_fire_at_once_exactly_one_holds(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    won = {"cancel": 0, "fire": 0}
    for number in range(2 * ROUNDS):
        timer = await ledger.accept()
        spec = await ledger.spec(timer)
        both = [ledger.cancel(timer), ledger.claim(spec)]
        results = await asyncio.gather(*(both if number % 2 else reversed(both)), return_exceptions=True)
        refused = [one for one in results if isinstance(one, Failure)]
        claims = [one for one in results if isinstance(one, Claimed)]
        overtaken = [one for one in results if isinstance(one, Overtaken)]
        after = await ledger.get(timer)
        kinds = await ledger.told(timer)
        if claims:
            won["fire"] += 1
            assert [failure.kind for failure in refused] == [FailureKind.CONFLICT]
            assert after.state is TimerState.FIRED
            assert "timer.cancelled" not in kinds
        else:
            won["cancel"] += 1
            assert overtaken == [Overtaken(TimerState.CANCELLED, 2, timer.fire_at)]
            assert not refused
            assert after.state is TimerState.CANCELLED
            assert "timer.fired" not in kinds
    assert won["fire"] + won["cancel"] == 2 * ROUNDS


async def test_of_many_changes_at_once_with_one_generation_one_holds(busy_ledger: Ledger) -> None:
    ledger = busy_ledger
    timer = await ledger.accept()
    results = await asyncio.gather(
        *(ledger.change(timer, commands.Reschedule(payload=n), if_generation=1) for n in range(10)),
        return_exceptions=True,
    )
    refused = [one.kind for one in results if isinstance(one, Failure)]
    assert refused == [FailureKind.STALE] * 9
    assert (await ledger.get(timer)).generation == 2
