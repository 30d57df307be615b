"""Durations survive the way to text and back."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.durations import MAX_DURATION, format_duration, parse_duration

ANY = st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION)


@given(ANY)
def test_a_printed_duration_is_read_back_exactly(duration):
    assert parse_duration(format_duration(duration)) == duration


@given(ANY)
def test_the_iso_form_means_the_same(duration):
    seconds, micros = divmod(duration // timedelta(microseconds=1), 1_000_000)
    assert parse_duration(f"PT{seconds}.{micros:06}S") == duration


@given(st.text(max_size=20))
def test_any_other_text_is_refused_with_what_was_expected(text):
    refused = ""
    found = timedelta(0)
    try:
        found = parse_duration(text)
    except ValueError as error:
        refused = str(error)
    assert "expected a duration" in refused if refused else timedelta(0) <= found <= MAX_DURATION


@pytest.mark.parametrize("text", ["", "90", "1m1h", "1s1s", "-1s", "1y", "P1M", "P", "PT", " 1s", "4000d"])
def test_these_are_no_durations(text):
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)
