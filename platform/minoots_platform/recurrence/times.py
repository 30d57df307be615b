"""The times of a recurrence, one after the other: all rules together, without what is excluded."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from minoots.contracts import Dst, Exclusion, Recurrence, Rule
from minoots.durations import MAX_DURATION

from .walls import cron_walls, every_hour, rrule_walls
from .zones import SHIFT, Change, changes, earliest, moment_of, next_change, wall_of

MOST_EXCLUDED: Final = 20_000
"""So many times in a row may be excluded; then the recurrence counts as over."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)

Walls: TypeAlias = Callable[[datetime], Iterator[datetime]]
"""The local times of a rule from a given one on, inclusive."""


@dataclass(frozen=True, order=True)
class Found:
    """One time of a recurrence."""

    at: datetime
    """UTC."""
    note: str | None = field(default=None, compare=False)
    """What daylight saving time did to it."""


def occurrences(recurrence: Recurrence, after: datetime, anchor: datetime) -> Iterator[Found]:
    """Yield the times after ``after``, each once and in order; endless unless the recurrence ends.

    It ends at ``end``, and where no time follows within ten years.

    ``anchor`` stands in for ``start`` where a rule counts from it. ``count`` is left to the caller, who knows
    how many there were.
    """
    start = recurrence.start or anchor
    after = max(after, recurrence.start - _TICK) if recurrence.start else after
    last = after
    for found in _allowed(recurrence, after, start):
        over = recurrence.end is not None and found.at >= recurrence.end
        if over or found.at - last > MAX_DURATION:
            return
        last = found.at
        yield found


def walls_of(rule: Rule | Exclusion, zone: ZoneInfo, start: datetime) -> Walls | None:
    """Return the local times of a rule; ``None`` for one that does not go by the wall clock."""
    if rule.cron is not None:
        text = rule.cron
        return lambda first: cron_walls(text, first)
    if rule.rrule is not None:
        text = rule.rrule
        return lambda first: rrule_walls(text, wall_of(start, zone), zone, first)
    return None


def _allowed(recurrence: Recurrence, after: datetime, start: datetime) -> Iterator[Found]:
    zone = ZoneInfo(recurrence.zone)
    days = [(one.date, one.until or one.date) for one in recurrence.exclude if one.date is not None]
    ruled_out = [one for one in recurrence.exclude if one.date is None]
    times = _merged(recurrence.rules, recurrence, zone, after, start)
    banned = _merged(ruled_out, recurrence, zone, after, start)
    ban = next(banned, None)
    excluded = 0
    while (found := next(times, None)) is not None:
        while ban is not None and ban.at < found.at:
            ban = next(banned, None)
        last = _last_excluded_day(days, wall_of(found.at, zone).date())
        if last is not None:
            # Days on end are jumped over: a rule of every second would be walked through for hours.
            after = _end_of_day(last, zone) - _TICK
            times = _merged(recurrence.rules, recurrence, zone, after, start)
            banned = _merged(ruled_out, recurrence, zone, after, start)
            ban = next(banned, None)
        elif ban is None or ban.at != found.at:
            excluded = 0
            yield found
            continue
        excluded += 1
        if excluded > MOST_EXCLUDED:
            return


def _merged(
    rules: tuple[Rule, ...] | list[Exclusion],
    recurrence: Recurrence,
    zone: ZoneInfo,
    after: datetime,
    start: datetime,
) -> Iterator[Found]:
    last: datetime | None = None
    for found in heapq.merge(*(_of_rule(rule, recurrence.dst, zone, after, start) for rule in rules)):
        if found.at != last:
            last = found.at
            yield found


def _of_rule(
    rule: Rule | Exclusion, dst: Dst, zone: ZoneInfo, after: datetime, start: datetime
) -> Iterator[Found]:
    if rule.every is not None:
        phase = rule.phase if isinstance(rule, Rule) and rule.phase else timedelta(0)
        yield from _intervals(rule.every, phase, after)
        return
    walls = walls_of(rule, zone, start)
    assert walls is not None  # noqa: S101 - a rule has one of three sources
    if dst is Dst.TWICE or (rule.cron is not None and every_hour(rule.cron)):
        yield from _literally(walls, zone, after)
    else:
        yield from _once_each(walls, dst, zone, after)


def _intervals(every: timedelta, phase: timedelta, after: datetime) -> Iterator[Found]:
    count = (after - _EPOCH - phase) // every + 1
    while True:
        try:
            at = _EPOCH + phase + every * count
        except OverflowError:
            return
        if at > after:
            yield Found(at)
        count += 1


def _literally(walls: Walls, zone: ZoneInfo, after: datetime) -> Iterator[Found]:
    """Yield every moment whose local time matches: by stretches of one offset, as if there were no zone."""
    begin = after
    for end in changes(zone, after):
        until = end.at if isinstance(end, Change) else end
        offset = begin.astimezone(zone).utcoffset()
        assert offset is not None  # noqa: S101 - a zone always has one
        for wall in walls((begin + offset).replace(tzinfo=None)):
            at = (wall - offset).replace(tzinfo=UTC)
            if at >= until:
                break
            if at > after:
                yield Found(at, _note(wall, zone, at))
        else:
            return
        begin = until


def _once_each(walls: Walls, dst: Dst, zone: ZoneInfo, after: datetime) -> Iterator[Found]:
    """Yield one moment, or none, for every local time that matches."""
    near = next_change(zone, after - SHIFT)
    first = wall_of(after, zone) - (SHIFT if near is not None and near.at <= after + SHIFT else timedelta(0))
    # Shifted ones may come later than the local times behind them; they wait here for their turn.
    ahead: list[Found] = []
    for wall in walls(first):
        bound = earliest(wall, zone)
        while ahead and ahead[0].at < bound:
            yield heapq.heappop(ahead)
        at, note = moment_of(wall, zone, dst)
        if at is not None and at > after:
            heapq.heappush(ahead, Found(at, note))
    while ahead:
        yield heapq.heappop(ahead)


def _note(wall: datetime, zone: ZoneInfo, at: datetime) -> str | None:
    local = wall.replace(tzinfo=zone)
    if local.utcoffset() == local.replace(fold=1).utcoffset():
        return None
    which = "second" if at.astimezone(zone).fold else "first"
    return f"{wall:%H:%M:%S} comes twice on {wall:%Y-%m-%d} in {zone.key}; this is the {which}"


def _last_excluded_day(days: list[tuple[date, date]], day: date) -> date | None:
    return max((last for first, last in days if first <= day <= last), default=None)


def _end_of_day(day: date, zone: ZoneInfo) -> datetime:
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time())
    return earliest(midnight, zone)
