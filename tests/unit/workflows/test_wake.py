"""How early a timer wakes."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from minoots_workflows.timers.wake import FORESEEABLE, MAX_LEAD, MIN_LEAD, lead_for, lead_from

latencies = st.lists(st.timedeltas(timedelta(0), timedelta(seconds=30)), max_size=50)


@given(latencies)
def test_a_lead_is_a_quarter_of_a_second_to_two(seen: list[timedelta]) -> None:
    assert MIN_LEAD <= lead_from(seen) <= MAX_LEAD


@given(st.lists(st.timedeltas(timedelta(0), timedelta(seconds=0.9)), min_size=1, max_size=50))
def test_a_lead_covers_what_was_observed(seen: list[timedelta]) -> None:
    assert lead_from(seen) > sorted(seen)[int(len(seen) * 0.99) - 1 if len(seen) > 100 else -1]


@given(latencies, st.timedeltas(timedelta(0), timedelta(seconds=1)))
def test_slower_workers_never_make_a_lead_shorter(seen: list[timedelta], more: timedelta) -> None:
    assert lead_from([one + more for one in seen]) >= lead_from(seen)


def test_what_is_due_beyond_the_foreseeable_gets_the_longest_lead() -> None:
    assert lead_for(FORESEEABLE + timedelta(seconds=1), MIN_LEAD) == MAX_LEAD
    assert lead_for(timedelta(seconds=1), timedelta(seconds=0.4)) == timedelta(seconds=0.4)
    assert lead_for(timedelta(seconds=1), timedelta(seconds=9)) == MAX_LEAD
