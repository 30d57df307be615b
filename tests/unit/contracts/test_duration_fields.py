"""Durations in a field of the wire: what is read, how it is printed, what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from minoots.contracts.base import Duration
from minoots.durations import MAX_DURATION, parse_duration

FIELD: TypeAdapter[timedelta] = TypeAdapter(Duration)
ANY = st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION)


@given(ANY)
def test_a_duration_survives_the_wire(duration: timedelta) -> None:
    assert FIELD.validate_json(FIELD.dump_json(duration)) == duration


@given(st.integers(0, 315_619_200) | st.floats(0, 315_619_200))
def test_a_number_is_seconds(seconds: float) -> None:
    assert FIELD.validate_python(seconds) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("PT1H30M", 5400),
        ("1w2d3h4m5s6ms", 788_645.006),
        ("P1W", 604_800),
        ("P1DT0.5S", 86_400.5),
        ("3653d", 315_619_200),
    ],
)
def test_these_are_durations(text: str, seconds: float) -> None:
    assert FIELD.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "90",
        "s",
        "1",
        "-1s",
        "+1s",
        "1s1s",
        "1s1m",
        "1h 30m",
        "1H",
        "1y",
        "90s\n",
        "٣s",
        "1e3s",
        "1.s",
        ".5s",
        "1_000s",
        "3654d",
        "9999999999999s",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1M",
        "-PT1S",
        "PT1H\n",
        "pt1h",
        "soon",
        -1,
        -0.001,
        315_619_201,
        1e30,
        10**400,
        float("nan"),
        float("inf"),
        float("-inf"),
        True,
        None,
        [],
        {},
        timedelta(seconds=-1),
        timedelta(days=3654),
    ],
)
def test_these_are_not_and_the_text_says_what_was_expected(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(value)
    with pytest.raises(ValidationError):
        FIELD.validate_python(value)
