"""Schedules in the records: every time once, whatever meets, is missed, is paused or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from ledger import START, URL, Ledger, seconds

from minoots.contracts import (
    Backfill,
    DeliveryState,
    Schedule,
    SchedulePatch,
    ScheduleState,
    Timer,
    TimerCreate,
    TimerState,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.records import commands, firing, handovers, occurrences, schedules
from minoots_platform.records.firing import Overtaken, Skipped
from minoots_platform.records.occurrences import Advanced


class Book:
    """The schedules of one tenant, one transaction a call."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def set(self, every: str = "1h", **fields: Any) -> tuple[str, Timer]:
        """Set a schedule; return its id and the first occurrence."""
        schedule = {"rules": [{"every": every}], **fields.pop("schedule", {})}
        spec = TimerCreate.model_validate(
            {"name": "tick", "schedule": schedule, "actions": [{"url": URL}], **fields}
        )
        async with self.ledger.writing() as connection:
            timer = await schedules.accept(
                connection, self.ledger.tenant, spec, now=self.ledger.now, actor="tester", traceparent=None
            )
        assert timer.occurrence is not None
        return timer.occurrence.schedule_id, timer

    async def run(self, command: Any, schedule_id: str, *arguments: Any) -> Any:
        """Run a command on a schedule."""
        async with self.ledger.writing() as connection:
            return await command(
                connection,
                self.ledger.tenant,
                schedule_id,
                *arguments,
                now=self.ledger.now,
                actor="tester",
            )

    async def advance(self, schedule_id: str) -> Advanced:
        """Make what is due soon."""
        async with self.ledger.writing() as connection:
            return await occurrences.advance(connection, self.ledger.tenant, schedule_id, now=self.ledger.now)

    async def get(self, schedule_id: str) -> Schedule:
        """A schedule as it stands."""
        async with self.ledger.database.read() as connection:
            return await schedules.get(connection, self.ledger.tenant, schedule_id)

    async def timers(self, schedule_id: str) -> list[Timer]:
        """Its occurrences, in the order of making."""
        page = await self.ledger.page(schedule_id=schedule_id, limit=200, sort="created")
        return sorted(page.items, key=_number)

    async def due(self, timer: Timer) -> Timer:
        """Arm an occurrence and let its time come."""
        self.ledger.now = max(self.ledger.now, timer.fire_at)
        return await self.ledger.arm(timer)


def _number(timer: Timer) -> int:
    assert timer.occurrence is not None
    return timer.occurrence.number


def offsets(timers: Sequence[Timer]) -> list[float]:
    """Due times in seconds after the start."""
    return [(timer.fire_at - START).total_seconds() for timer in timers]


@pytest.fixture
def book(ledger: Ledger) -> Book:
    """The schedules of the ledger's tenant."""
    return Book(ledger)


async def test_a_schedule_has_its_first_occurrence_from_the_beginning(book: Book, ledger: Ledger) -> None:
    schedule_id, timer = await book.set("1h", payload={"a": 1}, labels={"team": "red"})
    assert (timer.name, timer.payload, timer.labels) == ("tick", {"a": 1}, {"team": "red"})
    assert timer.fire_at == START + timedelta(hours=1)
    assert timer.occurrence is not None
    assert (timer.occurrence.number, timer.occurrence.kind) == (1, "scheduled")
    assert await ledger.told(timer) == ["timer.scheduled"]
    schedule = await book.get(schedule_id)
    assert (schedule.state, schedule.occurrences) == (ScheduleState.ACTIVE, 1)
    assert schedule.next_at == START + timedelta(hours=2)


async def test_frequent_occurrences_are_made_some_time_ahead(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("1s")
    assert offsets(await book.timers(schedule_id)) == list(range(1, 21))
    ledger.pass_time(10)
    advanced = await book.advance(schedule_id)
    assert len(advanced.made) == 10
    assert advanced.wake_at == START + seconds(20)
    assert offsets(await book.timers(schedule_id)) == list(range(1, 31))


async def test_advancing_again_makes_nothing_twice(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("1s")
    ledger.pass_time(15)
    await asyncio.gather(*(book.advance(schedule_id) for _ in range(5)))
    assert offsets(await book.timers(schedule_id)) == list(range(1, 36))


async def test_a_rare_one_always_has_its_next_occurrence(book: Book, ledger: Ledger) -> None:
    schedule_id, first = await book.set("24h")
    advanced = await book.advance(schedule_id)
    assert (advanced.made, advanced.wake_at) == ((), first.fire_at)
    ledger.now = first.fire_at
    assert len((await book.advance(schedule_id)).made) == 1


async def test_the_count_ends_it_after_the_last(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("5s", schedule={"count": 3})
    assert offsets(await book.timers(schedule_id)) == [5, 10, 15]
    assert (await book.advance(schedule_id)).wake_at == START + seconds(15)
    ledger.pass_time(15)
    assert (await book.advance(schedule_id)).state is ScheduleState.ENDED
    ended = await book.get(schedule_id)
    assert (ended.state, ended.left, ended.state_reason) == ("ended", 0, "its count is reached")
    assert [event.type for event in await ledger.events(subject=schedule_id)] == [
        "schedule.created",
        "schedule.ended",
    ]


@pytest.mark.parametrize(
    ("catch_up", "late", "fired", "missed"),
    [
        ({"policy": "all"}, 3600, [600, 1200, 1800, 2400, 3000, 3600], 0),
        ({"policy": "last"}, 3700, [600, 3600], 5 - 1),
        ({"policy": "none"}, 3700, [600], 5),
        ({"policy": "all", "younger_than": "20m"}, 3700, [600, 3000, 3600], 3),
        ({"policy": "last", "younger_than": "1m"}, 3700, [600], 5),
    ],
    ids=str,
)
async def test_what_was_missed_is_caught_up_by_the_policy(
    book: Book, ledger: Ledger, catch_up: dict[str, str], late: float, fired: list[float], missed: int
) -> None:
    schedule_id, _ = await book.set("10m", schedule={"catch_up": catch_up})
    ledger.pass_time(late)
    await book.advance(schedule_id)
    timers = [timer for timer in await book.timers(schedule_id) if timer.fire_at <= ledger.now]
    assert offsets(timers) == fired
    assert (await book.get(schedule_id)).missed == missed


@pytest.mark.parametrize(("policy", "goes"), [("all", [1, 2]), ("last", [2]), ("none", [])])
async def test_an_occurrence_that_was_made_before_the_outage_is_judged_when_it_fires(
    book: Book, ledger: Ledger, policy: str, goes: list[int]
) -> None:
    schedule_id, _ = await book.set("10s", schedule={"catch_up": {"policy": policy}, "count": 2})
    ledger.pass_time(60)
    for timer in await book.timers(schedule_id):
        await ledger.claim(await ledger.spec(await ledger.arm(timer)))
    fired = [timer for timer in await book.timers(schedule_id) if timer.state is TimerState.FIRED]
    assert [_number(timer) for timer in fired] == goes


async def test_a_long_outage_is_walked_through_in_steps(
    book: Book, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occurrences, "_LOOKED_AT", 30)
    schedule_id, _ = await book.set("1s", schedule={"catch_up": {"policy": "last"}})
    ledger.pass_time(120)
    while (advanced := await book.advance(schedule_id)).wake_at == ledger.now:
        pass
    assert advanced.wake_at is not None
    late = [at for at in offsets(await book.timers(schedule_id)) if 20 < at <= 120]
    # What was missed by less than ten seconds was not missed at all.
    assert late == list(range(110, 121))
    assert (await book.get(schedule_id)).missed == 89


async def test_jitter_puts_off_and_is_always_the_same(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("10s", schedule={"jitter": "5s", "count": 2})
    timers = await book.timers(schedule_id)
    late = [
        (timer.fire_at - timer.occurrence.nominal_at).total_seconds() for timer in timers if timer.occurrence
    ]
    assert all(0 <= by < 5 for by in late)
    assert len(set(late)) == 2


async def running(book: Book, overlap: str) -> tuple[str, list[Timer]]:
    """A schedule whose first occurrence is being retried while the others come."""
    schedule_id, first = await book.set("5s", schedule={"overlap": overlap, "count": 4})
    first = await book.due(first)
    [claim] = await book.ledger.fire(first)
    await book.ledger.record(book.ledger.failed(claim, again_in=3600))
    return schedule_id, await book.timers(schedule_id)


async def test_overlapping_ones_are_skipped(book: Book, ledger: Ledger) -> None:
    _, timers = await running(book, "skip")
    claimed = await ledger.claim(await ledger.spec(await book.due(timers[1])))
    assert claimed == Skipped()
    skipped = await ledger.get(timers[1])
    assert skipped.state is TimerState.CANCELLED
    assert timers[0].id in (skipped.state_reason or "")


async def test_overlapping_ones_go_side_by_side_when_allowed(book: Book, ledger: Ledger) -> None:
    _, timers = await running(book, "allow")
    await ledger.fire(await book.due(timers[1]))


async def test_the_earlier_one_is_called_off(book: Book, ledger: Ledger) -> None:
    _, timers = await running(book, "cancel_other")
    await ledger.fire(await book.due(timers[1]))
    assert (await ledger.get(timers[0])).state is TimerState.CANCELLED
    assert await ledger.states(timers[0]) == [DeliveryState.CANCELLED]


@pytest.mark.parametrize("overlap", ["buffer_one", "buffer_all"])
async def test_overlapping_ones_wait_and_go_one_after_the_other(
    book: Book, ledger: Ledger, overlap: str
) -> None:
    _, timers = await running(book, overlap)
    outcomes = []
    for timer in timers[1:]:
        outcomes.append(await ledger.claim(await ledger.spec(await book.due(timer))))
    held = [timer for timer in timers[1:] if (await ledger.get(timer)).state is TimerState.PAUSED]
    if overlap == "buffer_one":
        assert isinstance(outcomes[0], Overtaken)
        assert outcomes[1:] == [Skipped(), Skipped()]
        assert len(held) == 1
    else:
        assert len(held) == 3
    ledger.pass_time(3600)
    before = timers[0]
    for timer in held:
        [(claim, _)] = [(await retry(ledger, before), 0)]
        await ledger.record(ledger.succeeded(claim))
        behind = await ledger.outstanding(timer)
        assert behind is not None
        assert (behind.command, behind.paused) == ("resume", False)
        assert (await ledger.told(timer))[-1] == "timer.released"
        [claim] = await ledger.fire(await ledger.arm(timer))
        await ledger.record(ledger.failed(claim, again_in=1))
        ledger.pass_time(2)
        before = timer


async def retry(ledger: Ledger, timer: Timer) -> Any:
    """Claim the next attempt of a timer's only delivery."""
    async with ledger.database.read() as connection:
        from minoots_platform.records import deliveries

        [row] = await deliveries.of_timer(connection, timer.id)
    return await ledger.attempt(row.id, row.planned_at)


async def test_cancelling_the_running_one_lets_the_next_go(book: Book, ledger: Ledger) -> None:
    _, timers = await running(book, "buffer_all")
    await ledger.claim(await ledger.spec(await book.due(timers[1])))
    await ledger.cancel(timers[0])
    assert (await ledger.told(timers[1]))[-1] == "timer.released"


async def test_a_paused_schedule_holds_what_waits_and_leaves_out_what_passes(
    book: Book, ledger: Ledger
) -> None:
    schedule_id, _ = await book.set("10s")
    await book.run(schedules.pause, schedule_id)
    assert {timer.state for timer in await book.timers(schedule_id)} == {TimerState.PAUSED}
    assert (await book.advance(schedule_id)).state is ScheduleState.PAUSED
    ledger.pass_time(15)
    resumed = await book.run(schedules.resume, schedule_id)
    assert resumed.state is ScheduleState.ACTIVE
    states = {offset: timer.state for offset, timer in _by_offset(await book.timers(schedule_id)).items()}
    assert states[10] is TimerState.CANCELLED
    assert states[20] is TimerState.SCHEDULED
    assert [offset for offset in states if offset > 15] == [20, 30]


def _by_offset(timers: Sequence[Timer]) -> dict[float, Timer]:
    return dict(zip(offsets(timers), timers, strict=True))


async def test_a_cancelled_schedule_takes_what_waits_with_it(book: Book, ledger: Ledger) -> None:
    schedule_id, first = await book.set("10s")
    [claim] = await ledger.fire(await book.due(first))
    await book.run(schedules.trigger, schedule_id)
    cancelled = await book.run(schedules.cancel, schedule_id, "enough")
    assert (cancelled.state, cancelled.state_reason) == (ScheduleState.CANCELLED, "enough")
    states = [timer.state for timer in await book.timers(schedule_id)]
    assert states == [TimerState.FIRED, TimerState.CANCELLED, TimerState.CANCELLED]
    await ledger.record(ledger.succeeded(claim))
    with pytest.raises(Failure, match="is cancelled: enough") as refused:
        await book.run(schedules.trigger, schedule_id)
    assert refused.value.kind is FailureKind.CONFLICT


async def test_a_changed_schedule_makes_its_timers_anew(book: Book, ledger: Ledger) -> None:
    schedule_id, first = await book.set("10s")
    patch = SchedulePatch.model_validate({"schedule": {"rules": [{"every": "7s"}]}, "payload": "new"})
    changed = await book.run(schedules.update, schedule_id, patch)
    assert changed.generation == 2
    assert (await ledger.get(first)).state is TimerState.CANCELLED
    waiting = [timer for timer in await book.timers(schedule_id) if timer.state.waiting]
    assert {timer.payload for timer in waiting} == {"new"}
    assert {after - before for before, after in pairwise(offsets(waiting))} == {7}


async def test_a_new_payload_loses_and_repeats_no_time(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("10s", schedule={"count": 5, "catch_up": {"policy": "all"}})
    ledger.pass_time(12)
    await book.run(schedules.update, schedule_id, SchedulePatch(payload=1))
    ledger.pass_time(40)
    await book.advance(schedule_id)
    timers = await book.timers(schedule_id)
    kept = [timer for timer in timers if timer.state is not TimerState.CANCELLED]
    assert offsets(kept) == [10, 20, 30, 40, 50]


async def test_a_trigger_is_due_now_and_counts_no_time(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("1h", schedule={"count": 2})
    timer = await book.run(schedules.trigger, schedule_id)
    assert timer.fire_at == ledger.now
    assert (timer.occurrence.kind, timer.occurrence.number) == ("triggered", 2)
    assert (await book.get(schedule_id)).left == 1


async def test_a_backfill_makes_what_the_rules_gave(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("1h")
    wanted = Backfill(since=START - timedelta(hours=3), until=START)
    made = await book.run(schedules.backfill, schedule_id, wanted)
    timers = [timer for timer in await book.timers(schedule_id) if timer.id in made.timers]
    nominal = [timer.occurrence.nominal_at for timer in timers if timer.occurrence]
    assert nominal == [START - timedelta(hours=hours) for hours in (3, 2, 1)]
    assert {timer.fire_at for timer in timers} == {START}


@pytest.mark.parametrize(
    ("since", "until", "field"), [(-1, 1, "body.until"), (-2000, 0, "body.since")], ids=str
)
async def test_a_backfill_that_is_too_wide_is_refused(
    book: Book, since: float, until: float, field: str
) -> None:
    schedule_id, _ = await book.set("1h")
    wanted = Backfill(since=START + timedelta(hours=since), until=START + timedelta(hours=until))
    with pytest.raises(Failure) as refused:
        await book.run(schedules.backfill, schedule_id, wanted)
    assert refused.value.errors[0].field == field
    assert len(await book.timers(schedule_id)) == 1


async def test_a_schedule_without_a_time_to_come_is_not_kept(book: Book, ledger: Ledger) -> None:
    with pytest.raises(Failure, match="no time to come"):
        await book.set("1h", schedule={"end": "2027-03-01T12:30:00Z"})
    assert await ledger.events() == ()


async def test_another_tenant_sees_none_of_it(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set()
    other = Book(ledger.of("globex"))
    for command in (schedules.pause, schedules.resume, schedules.trigger):
        with pytest.raises(Failure) as refused:
            await other.run(command, schedule_id)
        assert refused.value.kind is FailureKind.NOT_FOUND
    assert await other.timers(schedule_id) == []


async def test_a_change_is_handed_over_once(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set()
    ledger.pass_time(1)
    async with ledger.database.read() as connection:
        [due] = await handovers.schedules_behind(connection, before=ledger.now, limit=10)
    assert (due.schedule_id, due.generation) == (schedule_id, 1)
    async with ledger.writing() as connection:
        await handovers.confirm_schedule(connection, due)
        assert await handovers.schedules_behind(connection, before=ledger.now, limit=10) == ()


async def test_claims_of_one_schedule_at_the_same_moment_do_not_overlap(book: Book, ledger: Ledger) -> None:
    schedule_id, _ = await book.set("1s", schedule={"overlap": "skip", "count": 8})
    timers = [await ledger.arm(timer) for timer in await book.timers(schedule_id)]
    ledger.now = timers[-1].fire_at
    specs = [await ledger.spec(timer) for timer in timers]
    claimed = await asyncio.gather(*(ledger.claim(spec) for spec in specs))
    assert sum(isinstance(one, firing.Claimed) for one in claimed) == 1


async def test_pausing_and_firing_at_the_same_moment_do_not_wait_for_each_other(
    book: Book, ledger: Ledger
) -> None:
    for _ in range(10):
        schedule_id, first = await book.set("1s", schedule={"overlap": "buffer_all"})
        await ledger.arm(first)
        ledger.now = first.fire_at
        spec = await ledger.spec(first)
        await asyncio.gather(
            ledger.claim(spec), book.run(schedules.pause, schedule_id), book.advance(schedule_id)
        )
        state = (await ledger.get(first)).state
        assert state in (TimerState.FIRED, TimerState.PAUSED)


async def test_rows_from_before_schedules_came_are_as_they_were(ledger: Ledger) -> None:
    timer = await ledger.accept(labels={"a": "b"})
    async with ledger.database.read() as connection:
        row = (await connection.execute(sa.text("SELECT held, schedule_id FROM timers"))).one()
    assert (bool(row.held), row.schedule_id) == (False, None)
    assert (await ledger.get(timer)).occurrence is None
    assert isinstance(commands.UNSET, commands.Unset)
