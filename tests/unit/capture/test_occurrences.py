"""Which time something is said, in little space."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.capture.readers.occurrences import Occurrences


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(0, 40))
def test_counts_are_exact_and_go_on_after_a_restart(said: list[str], cut: int) -> None:
    counts, seen = Occurrences(), Counter[str]()
    for number, one in enumerate(said):
        if number == cut:
            counts = Occurrences(json.loads(json.dumps(counts.state)))
        seen[one] += 1
        assert counts.next(one) == seen[one]


def test_what_was_said_long_ago_is_never_counted_too_low_and_takes_little_space() -> None:
    counts = Occurrences()
    for _ in range(3):
        for number in range(5000):
            counts.next(str(number))
    assert min(counts.next(str(number)) for number in range(5000)) >= 4
    assert len(json.dumps(counts.state)) < 40_000


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_counting_on_goes_from_whatever_is_higher(these: list[str], those: list[str]) -> None:
    first, second = Occurrences(), Occurrences()
    for one in these:
        first.next(one)
    for one in those:
        second.next(one)
    first.raise_to(second)
    for one in "abc":
        assert first.next(one) == max(these.count(one), those.count(one)) + 1
