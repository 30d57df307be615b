"""Rules one by one: what they give, how they meet, what is refused and how soon."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from minoots.contracts import Recurrence
from minoots_platform.recurrence import RecurrenceFault, check, occurrences, preview

NOW = datetime(2027, 3, 26, 12, tzinfo=UTC)  # a Friday


def recurrence(*rules: dict[str, Any], **fields: Any) -> Recurrence:
    return Recurrence.model_validate({"rules": rules, **fields})


def first(count: int, wanted: Recurrence, after: datetime = NOW) -> list[str]:
    return [f"{one.at:%Y-%m-%dT%H:%M:%S}" for one in islice(occurrences(wanted, after, NOW), count)]


@pytest.mark.parametrize(
    ("rule", "times"),
    [
        ({"cron": "0 9 * * 1-5"}, ["2027-03-29T09:00:00", "2027-03-30T09:00:00"]),
        ({"cron": "30 15 9 * * MON"}, ["2027-03-29T09:15:30", "2027-04-05T09:15:30"]),
        ({"cron": "@monthly"}, ["2027-04-01T00:00:00", "2027-05-01T00:00:00"]),
        ({"cron": "0 0 L * *"}, ["2027-03-31T00:00:00", "2027-04-30T00:00:00"]),
        # Both days restricted: either will do, as in Vixie cron.
        ({"cron": "0 0 1 * MON"}, ["2027-03-29T00:00:00", "2027-04-01T00:00:00"]),
        ({"every": "1h"}, ["2027-03-26T13:00:00", "2027-03-26T14:00:00"]),
        ({"every": "15m", "phase": "5m"}, ["2027-03-26T12:05:00", "2027-03-26T12:20:00"]),
        ({"rrule": "FREQ=MONTHLY;BYDAY=1FR"}, ["2027-04-02T12:00:00", "2027-05-07T12:00:00"]),
        (
            {"rrule": "FREQ=DAILY;UNTIL=20270327T120000Z;BYHOUR=9,12;BYMINUTE=0"},
            ["2027-03-26T12:00:00", "2027-03-27T09:00:00", "2027-03-27T12:00:00"],
        ),
    ],
    ids=str,
)
def test_each_kind_of_rule(rule: dict[str, str], times: list[str]) -> None:
    wanted = recurrence(rule)
    check(wanted, NOW)
    after = NOW.replace(hour=11) if "UNTIL" in str(rule) else NOW
    assert first(len(times), wanted, after) == times


def test_rules_meet_in_one_time() -> None:
    both = recurrence({"every": "2h"}, {"cron": "0 14,15 * * *"})
    assert first(3, both) == ["2027-03-26T14:00:00", "2027-03-26T15:00:00", "2027-03-26T16:00:00"]


def test_what_is_excluded_is_left_out() -> None:
    wanted = recurrence(
        {"cron": "0 9 * * *"},
        exclude=[{"cron": "0 9 * * SAT,SUN"}, {"date": "2027-03-29", "until": "2027-03-30"}],
    )
    assert first(2, wanted) == ["2027-03-31T09:00:00", "2027-04-01T09:00:00"]


def test_excluded_days_are_those_of_the_zone() -> None:
    wanted = recurrence({"every": "6h"}, exclude=[{"date": "2027-03-27"}], zone="Pacific/Auckland")
    assert first(2, wanted, NOW.replace(day=26, hour=3)) == ["2027-03-26T06:00:00", "2027-03-27T12:00:00"]


def test_start_counts_and_end_does_not() -> None:
    wanted = recurrence({"every": "1h"}, start="2027-03-26T15:00:00Z", end="2027-03-26T17:00:00Z")
    assert first(9, wanted) == ["2027-03-26T15:00:00", "2027-03-26T16:00:00"]


def test_decades_are_jumped_over() -> None:
    wanted = recurrence({"cron": "*/5 * * * * *"}, {"every": "7s"}, zone="Europe/Berlin")
    later = datetime(2077, 1, 1, tzinfo=UTC)
    assert len(first(3, wanted, later)) == 3


@pytest.mark.parametrize(
    ("wanted", "field", "expected"),
    [
        (recurrence({"cron": "0 0 30 2 *"}), "rules.0.cron", "day-of-month"),
        (recurrence({"cron": "61 * * * *"}), "rules.0.cron", "minute"),
        (recurrence({"cron": "* * *"}), "rules.0.cron", "five fields"),
        (recurrence({"cron": "@never"}), "rules.0.cron", "@daily"),
        (recurrence({"every": "1m"}, {"rrule": "FREQ=HOURLY"}), "rules.1.rrule", "cron or every"),
        (recurrence({"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}), "rules.0.rrule", "some day"),
        (recurrence({"rrule": "FREQ=DAILY;BYSETPOS=5"}), "rules.0.rrule", "BYSETPOS"),
        (recurrence({"rrule": "FREQ=DAILY;BYHOUR=1;BYMINUTE=" + ",".join(map(str, range(60)))}),
         "rules.0.rrule", "24 times a day"),
        (recurrence({"rrule": "DTSTART:20270101T000000\nRRULE:FREQ=DAILY"}), "rules.0.rrule", "one rule"),
        (recurrence({"rrule": "FREQ=DAILY;COLOUR=RED"}), "rules.0.rrule", "RFC 5545"),
        (recurrence({"rrule": "FREQ=YEARLY;INTERVAL=0"}), "rules.0.rrule", "INTERVAL"),
        (recurrence({"rrule": "FREQ=YEARLY;COUNT=0"}), "rules.0.rrule", "COUNT"),
        (recurrence({"rrule": "FREQ=YEARLY;UNTIL=99999999T999999Z"}), "rules.0.rrule", "UNTIL"),
        (recurrence({"rrule": "FREQ=MONTHLY;BYMONTHDAY=99999999999"}), "rules.0.rrule", "BYMONTHDAY"),
        (recurrence({"rrule": "FREQ=DAILY;BYHOUR=25"}), "rules.0.rrule", "BYHOUR"),
        (recurrence({"rrule": "FREQ=YEARLY;BYEASTER=0"}), "rules.0.rrule", "BYEASTER"),
        (recurrence({"rrule": "FREQ=DAILY;"}), "rules.0.rrule", "nothing"),
        (recurrence({"every": "1s"}, exclude=[{"every": "1s"}]), "", "at least one time"),
        (recurrence({"every": "1s"}, exclude=[{"cron": "x * * * *"}]), "exclude.0.cron", "minute"),
        (recurrence({"rrule": "FREQ=YEARLY;INTERVAL=20"}, start="2027-03-26T11:00:00Z"), "", "ten years"),
        (recurrence({"every": "1h"}, end="2027-03-26T12:30:00Z"), "", "at least one time"),
        (recurrence({"rrule": "FREQ=DAILY"}, start="1999-01-01T00:00:00Z"), "start", "last ten years"),
        (recurrence({"every": "1h"}, zone="Europe/Berln"), "zone", "Europe/Berlin"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_what_cannot_be_is_refused(wanted: Recurrence, field: str, expected: str) -> None:
    with pytest.raises(RecurrenceFault) as refused:
        check(wanted, NOW)
    assert refused.value.field == field
    assert expected in refused.value.expected


def test_a_preview_tells_what_summer_time_does() -> None:
    wanted = recurrence({"cron": "30 2 * * *"}, zone="Europe/Berlin", dst="shift")
    shown = preview(wanted, NOW, NOW, 2)
    assert [time.local for time in shown.times] == ["2027-03-27T02:30:00+01:00", "2027-03-28T03:30:00+02:00"]
    assert shown.times[1].note == "02:30:00 does not exist on 2027-03-28 in Europe/Berlin; moved to 03:30:00"


def test_a_preview_tells_what_is_left_out() -> None:
    wanted = recurrence({"cron": "30 2 * * *"}, zone="Europe/Berlin", dst="skip")
    shown = preview(wanted, NOW, NOW, 2)
    assert [time.local[:10] for time in shown.times] == ["2027-03-27", "2027-03-29"]
    assert [one.local for one in shown.left_out] == ["2027-03-28T02:30:00"]
