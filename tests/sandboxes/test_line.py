"""Who is next when memory is short: nobody waits longer than he would have to anyway, nor for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.sandboxes.line import Entry, in_order, may_begin, places_without

MOST = 1000


def begins(name: str, mine: Entry, *, left: int | None = None, **others: Entry) -> bool:
    """Whether it may begin beside these, where ``left`` is free for whatever comes."""
    taken = sum(one.mb for one in others.values() if one.taken)
    free = MOST - taken if left is None else left
    return may_begin(name, mine, others, lambda mb: mb - free)


def has(mb: int, ends: int) -> Entry:
    """One that has room."""
    return Entry(mb, 3, 0, taken=True, ends=ends)


def waits(mb: int, since: int, ends: int = 1, priority: int = 3, whose: str = "") -> Entry:
    """One that waits."""
    return Entry(mb, priority, since, taken=False, ends=ends, whose=whose)


@pytest.mark.parametrize(
    ("ends", "may"), [(49, True), (50, True), (51, False)], ids=["before", "with it", "after"]
)
def test_a_small_one_passes_when_it_ends_before_the_big_one_can_begin_for_certain(
    ends: int, may: bool
) -> None:
    # The big one needs what "b" has, too: that "a" ends does not help it.
    there = {"a": has(300, 20), "b": has(300, 50), "big": waits(900, 1)}
    assert begins("small", waits(100, 2, ends), **there) is may


def test_one_that_fits_is_not_passed_before_it_looks() -> None:
    there = {"a": has(300, 50), "next": waits(700, 1)}
    assert not begins("small", waits(100, 2, ends=10), **there)
    assert begins("next", waits(700, 1), a=has(300, 50))


def test_all_who_wait_before_it_have_to_be_passed() -> None:
    there = {"a": has(600, 90), "b": has(200, 20), "big": waits(900, 1), "middle": waits(250, 2)}
    assert not begins("small", waits(100, 3, ends=30), **there), "the middle one can begin at 20"
    assert begins("small", waits(100, 3, ends=20), **there)


def test_one_that_may_not_pass_itself_keeps_nobody_from_passing() -> None:
    there = {"a": has(600, 50), "big": waits(900, 1), "long": waits(300, 2, ends=99)}
    assert not begins("long", there["long"], **{name: there[name] for name in ("a", "big")})
    assert begins("short", waits(100, 3, ends=50), **there)
    assert not begins("short", waits(100, 3, ends=51), **there)


def test_one_that_waits_for_what_no_sandbox_has_holds_up_nobody() -> None:
    # Something else on the machine has most of its memory.
    assert begins("small", waits(100, 2, ends=99), left=150, big=waits(900, 1))
    assert begins("small", waits(100, 2, ends=99), left=150, a=has(100, 20), big=waits(900, 1))


def test_the_more_important_goes_before_and_is_not_passed_at_a_cost() -> None:
    there = {"a": has(600, 50), "big": waits(900, 1)}
    assert begins("urgent", waits(400, 2, ends=99, priority=1), **there)
    assert not begins("small", waits(100, 0, ends=99), a=has(600, 50), urgent=waits(900, 5, priority=1))


def test_the_more_important_go_before_those_of_the_same_tenant_and_nobody_elses() -> None:
    there = {
        "a1": waits(1, 1, whose="a"),
        "b1": waits(1, 2, whose="b"),
        "a2": waits(1, 3, whose="a"),
        "b2": waits(1, 4, whose="b", priority=1),
        "a3": waits(1, 5, whose="a", priority=2),
    }
    assert in_order(there) == ["a3", "b2", "a1", "b1", "a2"]


def test_of_two_that_came_together_one_is_before() -> None:
    one, other = waits(600, 1), waits(600, 1)
    assert begins("a", one, b=other)
    assert not begins("b", other, a=one)


def test_an_entry_of_an_older_worker_says_not_when_it_ends_and_nobody_passes() -> None:
    assert not begins("small", waits(100, 2, ends=1), a=Entry(600, 3, 0, taken=True), big=waits(900, 1))


SIZES = st.integers(1, MOST)
COMING = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=20)


def began(there: dict[str, Entry]) -> list[str]:
    """The names of those that wait, as they begin one after the other."""
    found = []
    while there:
        name = in_order(there)[0]
        shifted = places_without(name, there)
        found.append(name)
        there = {
            other: replace(one, since=shifted.get(other, one.since))
            for other, one in there.items()
            if other != name
        }
    return found


@given(COMING)
def test_whatever_tenants_call_important_they_take_turns_by_when_theirs_came(
    coming: list[tuple[str, int]],
) -> None:
    there = {str(at): waits(1, at, whose=whose, priority=much) for at, (whose, much) in enumerate(coming)}
    order = began(there)
    assert [there[name].whose for name in order] == [whose for whose, _ in coming]
    for tenant in "abc":
        his = [there[name] for name in order if there[name].whose == tenant]
        assert his == sorted(his, key=lambda one: (one.priority, one.since))


@given(COMING, st.data())
def test_whoever_passes_takes_no_place_of_others(coming: list[tuple[str, int]], data: st.DataObject) -> None:
    there = {str(at): waits(1, at, whose=whose, priority=much) for at, (whose, much) in enumerate(coming)}
    passes = data.draw(st.sampled_from(sorted(there)))
    order = in_order(there)
    shifted = places_without(passes, there)
    left = {
        name: replace(one, since=shifted.get(name, one.since))
        for name, one in there.items()
        if name != passes
    }
    assert in_order(left) == [name for name in order if name != passes]


@given(COMING)
def test_of_one_tenant_the_more_important_are_before_and_then_those_that_came_first(
    coming: list[tuple[str, int]],
) -> None:
    there = {str(at): waits(1, at, whose=whose, priority=much) for at, (whose, much) in enumerate(coming)}
    order = in_order(there)
    assert sorted(order) == sorted(there)
    for tenant in "abc":
        his = [there[name] for name in order if there[name].whose == tenant]
        assert his == sorted(his, key=lambda one: (one.priority, one.since))


@given(st.lists(st.tuples(SIZES, st.integers(1, 30)), min_size=1, max_size=30), SIZES)
def test_a_big_one_begins_no_later_than_if_nobody_had_passed_it(
    small: list[tuple[int, int]], size: int
) -> None:
    first = {"a": has(400, 20), "b": has(400, 40)}
    left, begun_at = MOST - 800, 0
    for one in first.values():
        if left < size:
            left, begun_at = left + one.mb, one.ends
    there, coming = dict(first), list(enumerate(small))
    for now in range(100):
        there = {name: one for name, one in there.items() if not one.taken or one.ends > now}
        big = waits(size, 1, ends=now + 10)
        if begins("big", big, **there):
            assert now <= begun_at
            return
        for number, (mb, lasts) in coming[:3]:
            name, mine = f"small-{number}", waits(mb, 2 + number, ends=now + lasts)
            if begins(name, mine, big=big, **there):
                there[name] = Entry(mb, 3, mine.since, taken=True, ends=mine.ends)
                coming.remove((number, (mb, lasts)))
    pytest.fail("it never began")
