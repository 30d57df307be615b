"""No occurrence twice and none lost across every change of daylight saving time of 2020 to 2040.

The oracle knows nothing of rules or generators: it walks the moments around a change minute by minute, asks
the zone for the local time of each, and applies the definition of the DST rule to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from minoots.contracts import Dst, Recurrence
from minoots_platform.recurrence import occurrences

ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Atlantic/Azores",
)
RULES = {
    "30 2 * * *": lambda wall: (wall.hour, wall.minute) == (2, 30),
    "*/20 0-3 * * *": lambda wall: wall.hour <= 3 and wall.minute % 20 == 0,
    "15 23,0,1 * * *": lambda wall: wall.hour in (23, 0, 1) and wall.minute == 15,
    "*/15 * * * *": lambda wall: wall.minute % 15 == 0,
}
MINUTE = timedelta(minutes=1)
AROUND = timedelta(hours=30)


@cache
def transitions(zone: str) -> tuple[datetime, ...]:
    """Every moment of 2020 to 2040 at which the offset is another than an hour before."""
    found = []
    here, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
    zoned = ZoneInfo(zone)
    offset = here.astimezone(zoned).utcoffset()
    while here < end:
        # No zone goes there and back within six hours.
        if (here + timedelta(hours=6)).astimezone(zoned).utcoffset() == offset:
            here += timedelta(hours=6)
            continue
        while here.astimezone(zoned).utcoffset() == offset:
            here += timedelta(minutes=30)
        found.append(here)
        offset = here.astimezone(zoned).utcoffset()
    return tuple(found)


def minutes(begin: datetime, end: datetime) -> Iterator[datetime]:
    while begin < end:
        yield begin
        begin += MINUTE


@lru_cache(120)
def walls(zone: str, begin: datetime, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """Each minute, with the local time that a clock on the wall shows."""
    zoned = ZoneInfo(zone)
    return tuple((moment, moment.astimezone(zoned).replace(tzinfo=None)) for moment in minutes(begin, end))


def oracle(rule: str, zone: str, dst: Dst, begin: datetime, end: datetime) -> list[datetime]:
    """The moments of [begin, end) that the definition gives."""
    matches = RULES[rule]
    margin = timedelta(hours=4)
    found: set[datetime] = set()
    seen: set[datetime] = set()
    before: datetime | None = None
    for moment, wall in walls(zone, begin - margin, end + margin):
        if before is not None and wall > before + MINUTE and rule.split()[1] != "*":
            # The local times between the two do not exist.
            for missing in minutes(before + MINUTE, wall):
                if matches(missing) and dst is Dst.ONCE:
                    found.add(moment)
                if matches(missing) and dst is Dst.SHIFT:
                    found.add(moment + (missing - before - MINUTE))
        repeated = wall in seen
        seen.add(wall)
        if matches(wall) and (not repeated or dst is Dst.TWICE or rule.split()[1] == "*"):
            found.add(moment)
        before = wall
    return sorted(moment for moment in found if begin <= moment < end)


@pytest.mark.parametrize("dst", Dst)
@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_twenty_years(zone: str, dst: Dst) -> None:
    changes = transitions(zone)
    assert len(changes) >= 20, "the zone has changes to look at"
    for number, change in enumerate(changes):
        rule = list(RULES)[number % len(RULES)]
        begin, end = change - AROUND, change + AROUND
        recurrence = Recurrence.model_validate({"rules": [{"cron": rule}], "zone": zone, "dst": dst})
        times = occurrences(recurrence, begin - MINUTE, begin)
        found = [one.at for one in takewhile(lambda one: one.at < end, times)]  # noqa: B023 - used at once
        assert found == oracle(rule, zone, dst, begin, end), (rule, change)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"])
@pytest.mark.parametrize("dst", Dst)
@pytest.mark.parametrize("rule", RULES)
def test_going_on_from_any_time_gives_the_same_rest(zone: str, dst: Dst, rule: str) -> None:
    recurrence = Recurrence.model_validate({"rules": [{"cron": rule}], "zone": zone, "dst": dst})
    for change in transitions(zone)[:6]:
        begin, end = change - timedelta(hours=26), change + timedelta(hours=26)
        whole = [
            one.at
            for one in takewhile(lambda one: one.at < end, occurrences(recurrence, begin, begin))  # noqa: B023
        ]
        assert whole == sorted(set(whole))
        for index, moment in enumerate(whole[:-1]):
            assert next(occurrences(recurrence, moment, begin)).at == whole[index + 1]
