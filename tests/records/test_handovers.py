"""What the engine has not been told yet, until it has."""

from __future__ import annotations

from typing import Any

import pytest
from ledger import Ledger, seconds

from minoots.contracts import ReplayFilter, Timer, TimerState
from minoots_platform.records import commands, dead_letters, handovers, replays


async def behind(ledger: Ledger, limit: int = 100) -> list[str]:
    """The ids of timers that the reconciler would hand over."""
    async with ledger.database.read() as connection:
        found = await handovers.timers_behind(connection, before=ledger.now, limit=limit)
    return [one.timer_id for one in found]


async def confirm(ledger: Ledger, done: handovers.TimerHandover | None) -> None:
    """The engine knows."""
    assert done is not None
    async with ledger.writing() as connection:
        await handovers.confirm_timer(connection, done, ledger.now)


async def test_the_first_confirmation_arms_a_timer_and_says_so_once(ledger: Ledger) -> None:
    timer = await ledger.accept()
    done = await ledger.outstanding(timer)
    ledger.pass_time(1)
    await confirm(ledger, done)
    await confirm(ledger, done)
    armed = await ledger.get(timer)
    assert (armed.state, armed.generation) == (TimerState.ARMED, 1)
    assert await ledger.told(timer) == ["timer.scheduled", "timer.armed"]
    assert await ledger.outstanding(timer) is None


async def test_a_change_made_during_the_hand_over_stays_outstanding(ledger: Ledger) -> None:
    timer = await ledger.accept()
    done = await ledger.outstanding(timer)
    await ledger.change(timer, commands.SnoozeBy(seconds(600)))
    await confirm(ledger, done)
    outstanding = await ledger.outstanding(timer)
    assert outstanding is not None
    assert (outstanding.generation, outstanding.known) == (2, True)
    assert outstanding.fire_at == ledger.now + seconds(600)
    await confirm(ledger, outstanding)
    await confirm(ledger, done)
    assert await ledger.outstanding(timer) is None, "an older confirmation takes nothing back"


@pytest.mark.parametrize(
    ("command", "state"),
    [(commands.Pause(), TimerState.PAUSED), (commands.CancelIt(), TimerState.CANCELLED)],
)
async def test_confirming_does_not_arm_what_was_stopped_meanwhile(
    ledger: Ledger, command: commands.Command, state: TimerState
) -> None:
    timer = await ledger.accept()
    done = await ledger.outstanding(timer)
    await ledger.change(timer, command)
    await confirm(ledger, done)
    assert (await ledger.get(timer)).state is state
    assert "timer.armed" not in await ledger.told(timer)
    assert await ledger.outstanding(timer) is not None


async def test_the_reconciler_sees_what_is_behind_most_urgent_first(ledger: Ledger) -> None:
    late = await ledger.accept(300)
    soon = await ledger.accept(5)
    known = await ledger.arm(await ledger.accept(1))
    other = await ledger.of("globex").accept(30)
    assert await behind(ledger) == [], "the gateway that accepted them may still be at it"
    ledger.pass_time(1)
    assert await behind(ledger) == [soon.id, other.id, late.id], "of every tenant"
    assert await behind(ledger, limit=2) == [soon.id, other.id]
    await ledger.change(known, commands.Pause())
    ledger.pass_time(1)
    assert (await behind(ledger))[0] == known.id


async def test_a_replayed_delivery_is_outstanding_until_somebody_retries_it(ledger: Ledger) -> None:
    (claim,) = await ledger.dead()
    async with ledger.writing() as connection:
        made = await dead_letters.replay_one(
            connection, ledger.tenant, claim.delivery_id, now=ledger.now, actor="x"
        )
    ledger.pass_time(1)
    async with ledger.database.read() as connection:
        found = await handovers.deliveries_behind(connection, before=ledger.now, limit=10)
        single = await handovers.delivery(connection, made.delivery_id)
        own = await handovers.delivery(connection, claim.delivery_id)
    assert [one.delivery_id for one in found] == [made.delivery_id]
    assert (single,) == found
    assert own is None, "the timer's own workflow sees to its first deliveries"
    async with ledger.writing() as connection:
        assert single is not None
        await handovers.confirm_delivery(connection, single)
    async with ledger.database.read() as connection:
        assert await handovers.deliveries_behind(connection, before=ledger.now, limit=10) == ()
        assert await handovers.delivery(connection, made.delivery_id) is None


async def test_a_replay_by_filter_is_outstanding_until_it_is_started(ledger: Ledger) -> None:
    wanted = ReplayFilter(timer_name="t")
    async with ledger.writing() as connection:
        replay = await replays.start(connection, ledger.tenant, wanted, now=ledger.now, actor="x")
    ledger.pass_time(1)

    async def outstanding() -> Any:
        async with ledger.database.read() as connection:
            return await handovers.replays_behind(connection, before=ledger.now, limit=10)

    assert await outstanding() == ((ledger.tenant, replay.id),)
    async with ledger.writing() as connection:
        await handovers.confirm_replay(connection, replay.id)
    assert await outstanding() == ()


async def test_a_finished_timer_is_not_armed_by_a_late_confirmation(ledger: Ledger) -> None:
    timer: Timer = await ledger.accept()
    done = await ledger.outstanding(timer)
    await ledger.fire(timer)
    await confirm(ledger, done)
    assert (await ledger.get(timer)).state is TimerState.FIRED
    assert await ledger.outstanding(timer) is None
