"""Times of all programs: one and the same moment however it is written, and none where there is none."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.reader import ConversationEventKind as Kind
from minoots_activities.capture.readers.times import moment

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TIMES = st.datetimes(
    (FIRST + DAY).replace(tzinfo=None), (LAST - DAY).replace(tzinfo=None), timezones=st.just(UTC)
)
SECONDS = int(NOON.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        "2026-07-01T12:00:00Z",
        "2026-07-01t12:00:00z",
        "2026-07-01 12:00:00+00:00",
        "2026-07-01T14:00:00+02:00",
        " 2026-07-01T12:00:00.000000000Z\n",
        SECONDS,
        float(SECONDS),
        SECONDS * 1000,
        SECONDS * 10**6,
        SECONDS * 10**9,
        SECONDS * 1e3,
        SECONDS * 1e6,
        str(SECONDS),
        str(SECONDS * 1000),
        f"{SECONDS}.000",
    ],
)
def test_a_moment_is_the_same_however_it_is_written(value: Any) -> None:
    assert moment(value) == NOON


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, 1, -1, -SECONDS, 10**400, -(10**400), 1e308, math.nan, math.inf, -math.inf, 0.0,
        "", "now", "0", "1", "2026-07-01T12:00:00", "2026-07-01", "20260701", "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-07-01T24:00:01Z", "2026-07-01T12:00:60Z", "2026-07-01T12:00:00+99:99",
        "٢٠٢٦-07-01T12:00:00Z", "\ud800", "2026-07-01T12:00:00Z\x00", "9" * 10_000, "1" * 60,
        "1e9", "0x7fffffff",
        [], {}, [SECONDS], {"created": SECONDS}, b"2026-07-01T12:00:00Z", NOON, object(),
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(value: Any) -> None:
    assert moment(value) is None


@given(TIMES, st.integers(-14 * 60, 14 * 60))
def test_every_time_comes_back_whatever_its_offset(at: datetime, minutes: int) -> None:
    assert moment(at.astimezone(timezone(timedelta(minutes=minutes))).isoformat()) == at
    microseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert moment(microseconds) == at
    assert moment(microseconds * 1000) == at
    assert moment(microseconds // 1000) == at - timedelta(microseconds=at.microsecond % 1000)
    assert abs(moment(microseconds / 1e6) - at) < timedelta(milliseconds=1)  # type: ignore[operator]  # never none


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.binary(), st.none()))
@example(LAST.timestamp())
@example(int(FIRST.timestamp()) - 1)
@example(math.nextafter(LAST.timestamp(), 0))
@example(math.nextafter(FIRST.timestamp() * 1e9, 0))
def test_nothing_raises_and_nothing_is_out_of_range(value: Any) -> None:
    found = moment(value)
    assert found is None or (FIRST <= found < LAST and found.tzinfo is UTC)


def test_an_event_says_where_its_time_is_from() -> None:
    told = Parsed()
    told.add(Kind.USER, moment("now"), "a")
    told.add(Kind.USER, moment(SECONDS), "b")
    assert [(draft.event.ts, draft.event.ts_source) for draft in told.drafts] == [
        (None, "none"),
        (NOON, "record"),
    ]
