"""Lists of timers: filters, both orders both ways, and pages that hold still while rows come, go and move."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ledger import START, Ledger, seconds

from minoots.contracts import Timer, TimerState
from minoots.errors import Failure, FailureKind
from minoots_platform.records import cursors
from minoots_platform.records.commands import CancelIt, Reschedule

SORTS = ("due", "-due", "created", "-created")


async def walk(ledger: Ledger, **wanted: Any) -> list[Timer]:
    """Every page, one after the other."""
    found: list[Timer] = []
    cursor = None
    while True:
        page = await ledger.page(cursor=cursor, **wanted)
        found += page.items
        if page.next_cursor is None:
            return found
        assert page.items, "a page with a next one is not empty"
        cursor = page.next_cursor


async def twelve(ledger: Ledger) -> list[Timer]:
    """Twelve timers; the order of making is not the order of falling due, and some share a moment."""
    made = []
    for number in range(12):
        if number % 3 == 0:
            ledger.pass_time(1)
        due = (number * 5 % 12) // 2 * 10 + 100
        timer = await ledger.accept(due - (ledger.now - START).total_seconds(), name=f"n{number % 4}")
        made.append(timer)
    return made


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 5, 12, 50])
async def test_pages_hold_every_timer_once_in_order(ledger: Ledger, sort: str, limit: int) -> None:
    made = await twelve(ledger)
    due = sort.endswith("due")
    expected = sorted(
        made,
        key=lambda timer: (timer.fire_at if due else timer.created_at, timer.id),
        reverse=sort.startswith("-"),
    )
    assert await walk(ledger, sort=sort, limit=limit) == expected


async def test_a_full_last_page_has_no_next_one(ledger: Ledger) -> None:
    await twelve(ledger)
    assert (await ledger.page(limit=12)).next_cursor is None
    assert (await ledger.page(limit=11)).next_cursor is not None


async def test_filters_narrow_together(ledger: Ledger) -> None:
    made = await twelve(ledger)
    await ledger.cancel(made[4])
    await ledger.arm(made[8])
    low, high = START + seconds(110), START + seconds(140)
    expected = {
        timer.id
        for number, timer in enumerate(made)
        if number not in (4, 8) and timer.name == "n0" and low <= timer.fire_at < high
    }
    found = await walk(
        ledger, states=(TimerState.SCHEDULED,), name="n0", due_after=low, due_before=high, limit=1
    )
    assert {timer.id for timer in found} == expected


async def test_each_filter_alone(ledger: Ledger) -> None:
    made = await twelve(ledger)
    await ledger.cancel(made[0])
    await ledger.arm(made[1])
    by_state = await walk(ledger, states=(TimerState.CANCELLED, TimerState.ARMED))
    assert {timer.id for timer in by_state} == {made[0].id, made[1].id}
    by_name = await walk(ledger, name="n3")
    assert {timer.id for timer in by_name} == {made[number].id for number in (3, 7, 11)}
    edge = made[5].fire_at
    after = {timer.id for timer in await walk(ledger, due_after=edge)}
    before = {timer.id for timer in await walk(ledger, due_before=edge)}
    assert made[5].id in after, "inclusive"
    assert made[5].id not in before, "exclusive"
    assert after | before == {timer.id for timer in made}
    assert not after & before
    assert (await ledger.page(name="N3")).items == (), "names are told apart by case"


@pytest.mark.parametrize("value", ["ops", "it's", 'say "hi"', "ü %_", "a:b", "", "\\", "日本", "{}", "1"])
async def test_labels_are_matched_exactly(ledger: Ledger, value: str) -> None:
    timer = await ledger.accept(labels={"team": value, "env": "live"})
    await ledger.accept(labels={"team": value + "x", "env": "live"})
    await ledger.accept(labels={"team-2": value})
    await ledger.of("globex").accept(labels={"team": value})
    found = await walk(ledger, labels=(("team", value),), limit=1)
    assert [one.id for one in found] == [timer.id]
    assert (await ledger.page(labels=(("team", value), ("env", "live")))).items == (timer,)
    assert (await ledger.page(labels=(("team", value), ("env", "test")))).items == ()
    assert len(await walk(ledger, labels=(("env", "live"),))) == 2


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("seed", range(3))
async def test_no_unchanged_timer_is_repeated_or_skipped_while_others_come_go_and_move(
    ledger: Ledger, sort: str, seed: int
) -> None:
    chance = random.Random(f"{sort}{seed}")
    steady: list[Timer] = []
    restless: list[Timer] = []
    for number in range(24):
        ledger.pass_time(chance.choice([0, 0, 1]))
        due = chance.randrange(50, 60) * 1.0
        timer = await ledger.accept(due)
        (restless if number % 3 == 0 else steady).append(timer)
    found: list[Timer] = []
    cursor = None
    while True:
        page = await ledger.page(sort=sort, limit=chance.randrange(1, 5), cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        ledger.pass_time(chance.choice([0, 1]))
        await ledger.accept(chance.randrange(-100, 200))
        moving = chance.choice(restless)
        if (await ledger.get(moving)).state.waiting:
            command = chance.choice([CancelIt(), Reschedule(fire_at=START + seconds(chance.randrange(200)))])
            await ledger.change(moving, command)
    due_order = sorted(steady, key=lambda one: (one.fire_at if "due" in sort else one.created_at, one.id))
    if sort.startswith("-"):
        due_order.reverse()
    ids = {timer.id for timer in steady}
    assert [timer.id for timer in found if timer.id in ids] == [timer.id for timer in due_order]
    if "created" in sort:
        assert len({timer.id for timer in found}) == len(found), "nothing moves in the order of making"


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "",
        "é",
        "WyJkdWUiXQ",  # a list too short
        cursors.encode("due", START, "tmr_1"),  # of another order
        cursors.encode("-created", START.replace(tzinfo=None), "tmr_1"),
        cursors.encode("-created", START, "tmr_\x00"),
        "W1tbW1tbW1tb" * 500,
    ],
)
async def test_a_cursor_that_is_not_of_this_list_is_refused(ledger: Ledger, cursor: str) -> None:
    with pytest.raises(Failure, match="does not belong to this list") as caught:
        await ledger.page(cursor=cursor)
    assert caught.value.kind is FailureKind.INVALID
    assert caught.value.errors[0].field == "query.cursor"
