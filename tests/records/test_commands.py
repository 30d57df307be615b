"""Every command in every state: what it does, or why it is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from ledger import START, Ledger, seconds

from minoots.contracts import TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.records import commands
from minoots_platform.records.commands import CancelIt, Command, FireNow, Pause, Reschedule, Resume, SnoozeBy

S = TimerState
COMMANDS: dict[str, Command] = {
    "reschedule": Reschedule(fire_at=START + seconds(7200)),
    "snooze": SnoozeBy(seconds(600)),
    "pause": Pause(),
    "resume": Resume(),
    "fire": FireNow(),
    "cancel": CancelIt("no longer needed"),
}
WAITING = (S.SCHEDULED, S.ARMED, S.PAUSED)
OVER = (S.FIRED, S.SETTLED, S.FAILED, S.CANCELLED)

ALLOWED: list[tuple[str, TimerState, TimerState, str]] = [
    *(("reschedule", state, state, "timer.rescheduled") for state in WAITING),
    *(("snooze", state, state, "timer.rescheduled") for state in WAITING),
    ("pause", S.SCHEDULED, S.PAUSED, "timer.paused"),
    ("pause", S.ARMED, S.PAUSED, "timer.paused"),
    ("resume", S.PAUSED, S.ARMED, "timer.resumed"),
    ("fire", S.SCHEDULED, S.SCHEDULED, "timer.fire_requested"),
    ("fire", S.ARMED, S.ARMED, "timer.fire_requested"),
    ("fire", S.PAUSED, S.ARMED, "timer.fire_requested"),
    *(("cancel", state, S.CANCELLED, "timer.cancelled") for state in WAITING),
]
VERBS = {
    "reschedule": "changed",
    "snooze": "snoozed",
    "pause": "paused",
    "resume": "resumed",
    "fire": "fired once more",
    "cancel": "cancelled",
}
WHEN = {
    S.FIRED: r"it fired at 2027-03-01T12:01:00\.000\+00:00 and its actions are being delivered",
    S.SETTLED: r"it fired at 2027-03-01T12:01:00\.000\+00:00 and settled at 2027-03-01T12:01:00",
    S.FAILED: r"it failed at 2027-03-01T12:01:00.* its dead letters can be replayed",
    S.CANCELLED: r"it was cancelled at 2027-03-01T12:00:00",
}
REFUSED: list[tuple[str, TimerState, str]] = [
    ("pause", S.PAUSED, "it is paused already"),
    ("resume", S.SCHEDULED, "it is scheduled, not paused"),
    ("resume", S.ARMED, "it is armed, not paused"),
    *(
        (name, state, f"{WHEN[state]}.*so it can no longer be {VERBS[name]}")
        for name in VERBS
        for state in OVER
    ),
]


def test_the_tables_hold_every_command_in_every_state() -> None:
    pairs = {(name, state) for name, state, *_ in ALLOWED} | {(name, state) for name, state, _ in REFUSED}
    assert pairs == {(name, state) for name in COMMANDS for state in S}
    assert len(ALLOWED) + len(REFUSED) == len(pairs)


@pytest.mark.parametrize(("name", "before", "after", "event"), ALLOWED)
async def test_a_command_that_is_allowed(
    ledger: Ledger, name: str, before: TimerState, after: TimerState, event: str
) -> None:
    timer = await ledger.in_state(before)
    told = await ledger.told(timer)
    ledger.pass_time(1)
    changed = await ledger.change(timer, COMMANDS[name], if_generation=timer.generation)
    assert changed == await ledger.get(timer)
    assert (changed.state, changed.generation) == (after, timer.generation + 1)
    assert changed.updated_at == ledger.now
    assert await ledger.told(timer) == [*told, event]
    assert (await ledger.events())[-1].data["generation"] == changed.generation
    outstanding = await ledger.outstanding(timer)
    assert outstanding is not None, "the engine is still to be told"
    assert outstanding.generation == changed.generation
    assert outstanding.paused is (after is S.PAUSED)
    assert outstanding.known is (before is not S.SCHEDULED)


@pytest.mark.parametrize(("name", "state", "words"), REFUSED)
async def test_a_command_that_is_refused_changes_nothing(
    ledger: Ledger, name: str, state: TimerState, words: str
) -> None:
    timer = await ledger.in_state(state)
    events = await ledger.events()
    with pytest.raises(Failure, match=words) as caught:
        await ledger.change(timer, COMMANDS[name])
    assert caught.value.kind is FailureKind.CONFLICT
    assert timer.id in caught.value.detail
    assert caught.value.remedy
    assert await ledger.get(timer) == timer
    assert await ledger.events() == events


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_stale_generation_is_refused_before_anything_else(ledger: Ledger, name: str) -> None:
    timer = await ledger.accept()
    snoozed = await ledger.change(timer, SnoozeBy(seconds(5)))
    for generation in (1, 3, 0):
        with pytest.raises(Failure, match=f"at generation 2, not {generation}") as caught:
            await ledger.change(timer, COMMANDS[name], if_generation=generation)
        assert caught.value.kind is FailureKind.STALE
        assert caught.value.errors[0].field == "header.If-Match"
    assert await ledger.get(timer) == snoozed
    finished = await ledger.cancel(timer)
    with pytest.raises(Failure) as caught:
        await ledger.change(finished, COMMANDS[name], if_generation=1)
    assert caught.value.kind is FailureKind.STALE, "who looked at an old timer is told so first"


async def test_snooze_counts_from_now_and_reschedule_is_absolute(ledger: Ledger) -> None:
    timer = await ledger.accept(60)
    ledger.pass_time(45)
    snoozed = await ledger.change(timer, SnoozeBy(seconds(600)))
    assert snoozed.fire_at == ledger.now + seconds(600)
    assert (await ledger.events())[-1].data["was"] == timer.fire_at.isoformat()
    moved = await ledger.change(timer, Reschedule(fire_at=START + seconds(100)))
    assert moved.fire_at == START + seconds(100)
    assert moved.generation == 3


async def test_fire_now_makes_it_due_now(ledger: Ledger) -> None:
    timer = await ledger.accept(3600)
    ledger.pass_time(5)
    fired = await ledger.change(timer, FireNow())
    assert fired.fire_at == ledger.now
    assert fired.fired_at is None, "the worker fires it"


async def test_a_payload_of_null_is_not_a_payload_left_alone(ledger: Ledger) -> None:
    timer = await ledger.accept(payload={"a": 1}, labels={"team": "ops"})
    alone = await ledger.change(timer, Reschedule(labels={"team": "dev", "env": "x"}))
    assert alone.payload == {"a": 1}
    assert alone.labels == {"team": "dev", "env": "x"}
    assert alone.fire_at == timer.fire_at
    emptied = await ledger.change(timer, Reschedule(payload=None))
    assert emptied.payload is None
    assert emptied.labels == {"team": "dev", "env": "x"}
    last = (await ledger.events())[-1]
    assert (last.type, last.data["changed"]) == ("timer.updated", ["payload"])


async def test_new_labels_are_found_and_old_ones_are_not(ledger: Ledger) -> None:
    timer = await ledger.accept(labels={"team": "ops", "env": "x"})
    await ledger.change(timer, Reschedule(labels={"team": "dev"}))
    assert [found.id for found in (await ledger.page(labels=(("team", "dev"),))).items] == [timer.id]
    assert (await ledger.page(labels=(("team", "ops"),))).items == ()
    assert (await ledger.page(labels=(("env", "x"),))).items == ()
    await ledger.change(timer, Reschedule(labels={}))
    assert (await ledger.page(labels=(("team", "dev"),))).items == ()


async def test_a_cancelled_timer_says_by_whom_and_why(ledger: Ledger) -> None:
    given = await ledger.cancel(await ledger.accept(), "the customer called")
    assert (given.state_reason, given.closed_by) == ("the customer called", "tester")
    assert given.settled_at == ledger.now
    silent = await ledger.cancel(await ledger.accept())
    assert silent.state_reason == "cancelled on request"


async def test_a_command_that_is_rolled_back_never_was(ledger: Ledger) -> None:
    timer = await ledger.accept(labels={"team": "ops"})
    events = await ledger.events()
    with suppress(ConnectionError):
        async with ledger.writing() as connection:
            await commands.change(
                connection,
                ledger.tenant,
                timer.id,
                Reschedule(payload=1, labels={}),
                now=ledger.now,
                actor="x",
                if_generation=None,
            )
            raise ConnectionError
    assert await ledger.get(timer) == timer
    assert await ledger.events() == events
    assert (await ledger.page(labels=(("team", "ops"),))).items == (timer,)
