"""Who is told again that something is not done yet, and how rarely that becomes."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from minoots_workers.reminders import Reminders


def _tell(reminders: Reminders, undone: Iterable[str], now: float) -> list[str]:
    due = reminders.due(undone, now)
    for name in due:
        reminders.told(name, now)
    return due


def test_what_is_found_undone_and_nobody_was_told_of_is_told_at_once() -> None:
    assert _tell(Reminders(), ["a", "b"], 100.0) == ["a", "b"]


def test_what_was_told_just_before_it_is_found_undone_is_left_alone_for_a_while() -> None:
    reminders = Reminders()
    reminders.told("a", 100.0)

    assert _tell(reminders, [], 102.0) == []
    assert _tell(reminders, ["a"], 107.0) == []
    assert _tell(reminders, ["a"], 115.0) == ["a"]


def test_what_stays_undone_is_told_ever_more_rarely() -> None:
    reminders = Reminders()

    told_at = [now for now in range(0, 2000, 5) if _tell(reminders, ["a"], float(now))]

    assert told_at == [0, 15, 45, 105, 225, 465, 765, 1065, 1365, 1665, 1965]


def test_a_thousand_that_wait_for_their_turn_are_told_a_few_times_each_in_a_quarter_of_an_hour() -> None:
    reminders = Reminders()
    names = [f"s{number}" for number in range(1000)]

    assert sum(len(_tell(reminders, names, float(now))) for now in range(0, 900, 5)) == 7000


def test_what_was_done_and_is_undone_again_later_is_told_at_once() -> None:
    reminders = Reminders()
    _tell(reminders, ["a", "b"], 0.0)

    assert _tell(reminders, ["b"], 15.0) == ["b"]
    assert _tell(reminders, ["a", "b"], 20.0) == ["a"]


def test_news_of_one_that_is_told_rarely_makes_it_told_soon_again() -> None:
    reminders = Reminders()
    for now in range(0, 500, 5):
        _tell(reminders, ["a"], float(now))

    reminders.told("a", 500.0)

    assert [now for now in range(500, 600, 5) if _tell(reminders, ["a"], float(now))] == [515, 545]


def test_who_was_told_lately_is_left_alone() -> None:
    reminders = Reminders()
    assert not reminders.left_alone("a", 0.0)

    reminders.told("a", 0.0)

    assert reminders.left_alone("a", 14.0)
    assert not reminders.left_alone("a", 15.0)


def test_who_could_not_be_told_is_due_at_the_next_look() -> None:
    reminders = Reminders()
    assert reminders.due(["a"], 0.0) == ["a"]

    assert reminders.due(["a"], 5.0) == ["a"]


def test_who_has_nothing_to_do_is_forgotten() -> None:
    reminders = Reminders()
    _tell(reminders, ["a", "b"], 0.0)
    assert reminders.known == 2

    reminders.due([], 15.0)

    assert reminders.known == 0


@given(st.lists(st.frozensets(st.sampled_from("abc")), max_size=40))
def test_only_those_that_are_undone_are_told(looks: list[frozenset[str]]) -> None:
    reminders = Reminders()
    for number, undone in enumerate(looks):
        assert set(_tell(reminders, sorted(undone), 5.0 * number)) <= undone
        assert reminders.known <= 3
