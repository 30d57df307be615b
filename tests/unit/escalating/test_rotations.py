"""Who is on call: at every moment one answer, and shifts that say the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts import Hours, Layer, Override
from minoots_platform.escalating import RotationFault, check_rotation, covers, on_call, shifts

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
PEOPLE = ["person:ada", "person:bob", "person:eve"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


def layer(*participants: str, **fields: Any) -> Layer:
    values = {"participants": participants or PEOPLE, "start": START, **fields}
    return Layer.model_validate(values)


def test_turns_follow_each_other_and_begin_again() -> None:
    found = [on_call([layer(turn="1h")], [], START + timedelta(hours=hour)) for hour in range(5)]
    assert found == [*PEOPLE, *PEOPLE[:2]]
    assert on_call([layer()], [], START - timedelta(seconds=1)) is None


@pytest.mark.parametrize("zone", ZONES)
def test_a_change_over_keeps_its_local_hour_when_the_clocks_change(zone: str) -> None:
    start = datetime(2026, 3, 2, 9, tzinfo=ZoneInfo(zone))
    weekly = layer(start=start, zone=zone)
    for week in range(60):
        change = (start.replace(tzinfo=None) + timedelta(weeks=week)).replace(tzinfo=ZoneInfo(zone))
        assert on_call([weekly], [], change) == PEOPLE[week % 3]
        assert on_call([weekly], [], change.astimezone(UTC) - timedelta(seconds=1)) != PEOPLE[week % 3]


def test_an_override_goes_before_layers_and_later_layers_before_earlier_ones() -> None:
    nights = Hours(since="20:00", until="06:00")
    layers = [layer("person:ada"), layer("person:bob", hours=nights)]
    stand_in = Override(
        who="person:eve", since=START + timedelta(hours=12), until=START + timedelta(hours=13)
    )
    assert on_call(layers, [], START) == "person:ada"
    assert on_call(layers, [], START + timedelta(hours=11)) == "person:bob"
    assert on_call(layers, [stand_in], START + timedelta(hours=12)) == "person:eve"
    assert on_call(layers, [stand_in], START + timedelta(hours=13)) == "person:bob"


def test_hours_reach_into_the_next_day() -> None:
    nights = Hours(since="22:00", until="06:00", days=("fri",), zone="Europe/Berlin")

    def at(day: int, hour: int) -> bool:
        return covers(nights, datetime(2026, 3, day, hour, tzinfo=ZoneInfo("Europe/Berlin")))

    assert [at(6, 21), at(6, 22), at(7, 5), at(7, 6), at(7, 22)] == [False, True, True, False, False]


_MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
_LAYERS = st.builds(
    lambda names, start, turn, zone, night, length: layer(
        *names,
        start=start,
        turn=turn,
        zone=zone,
        hours={"since": "18:00", "until": "08:00", "zone": zone, "days": ["mon", "sat"]} if night else None,
        end=None if length is None else start + timedelta(days=length),
    ),
    st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=4),
    _MOMENTS,
    st.sampled_from(["90m", "7h", "1d", "7d", "14d"]),
    st.sampled_from(ZONES),
    st.booleans(),
    st.none() | st.integers(1, 400),
)
_OVERRIDES = st.builds(
    lambda since, hours: [Override(who="person:eve", since=since, until=since + timedelta(hours=hours))],
    _MOMENTS,
    st.integers(1, 100),
) | st.just([])


@given(st.lists(_LAYERS, min_size=1, max_size=3), _OVERRIDES, _MOMENTS, st.integers(1, 20), st.data())
def test_shifts_have_no_gap_and_say_what_on_call_says(
    layers: list[Layer], overrides: list[Override], since: datetime, days: int, data: st.DataObject
) -> None:
    until = since + timedelta(days=days)
    found = list(shifts(layers, overrides, since, until))
    assert (found[0].since, found[-1].until) == (since, until)
    for first, second in itertools.pairwise(found):
        assert first.until == second.since
        assert first.who != second.who
    moment = data.draw(
        st.datetimes(since.replace(tzinfo=None), until.replace(tzinfo=None), timezones=st.just(UTC))
    )
    [holder] = [one.who for one in found if one.since <= moment < one.until] or [found[-1].who]
    if moment < until:
        assert holder == on_call(layers, overrides, moment)
    for one in found:
        assert on_call(layers, overrides, one.since) == one.who


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"layers": [layer(zone="Mars/Olympus")]}, "layers.0.zone"),
        ({"layers": [layer(hours={"zone": "Mars"})]}, "layers.0.hours.zone"),
    ],
)
def test_a_rotation_that_cannot_be_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RotationFault) as caught:
        check_rotation(fields["layers"], [])
    assert caught.value.field == field


def test_overrides_that_overlap_are_refused() -> None:
    def stand_in(who: str, since: int, until: int) -> Override:
        hours = timedelta(hours=1)
        return Override(who=who, since=START + since * hours, until=START + until * hours)

    check_rotation([layer()], [stand_in("person:ada", 2, 3), stand_in("person:bob", 1, 2)])
    with pytest.raises(RotationFault, match="do not overlap") as caught:
        check_rotation([layer()], [stand_in("person:ada", 0, 3), stand_in("person:bob", 2, 4)])
    assert caught.value.field == "overrides.1.since"
