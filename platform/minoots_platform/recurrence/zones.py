"""Local times and moments: gaps and folds, told apart by the offsets on either side (PEP 495)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from minoots.contracts import Dst

SHIFT: Final = timedelta(hours=25)
"""No change of offset is larger; the largest was Samoa's day across the date line."""

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_LOOK: Final = timedelta(days=400)


@dataclass(frozen=True)
class Change:
    """A change of a zone's offset."""

    at: datetime
    """The first moment (UTC) of the new offset."""
    before: timedelta
    after: timedelta

    @property
    def wall(self) -> datetime:
        """The local time at which the gap begins, or the fold."""
        return self.at.replace(tzinfo=None) + min(self.before, self.after)

    @property
    def length(self) -> timedelta:
        """How much local time is missing; negative when it comes twice."""
        return self.after - self.before


def wall_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what a clock on the wall shows at ``moment``, without a zone."""
    return moment.astimezone(zone).replace(tzinfo=None)


def moment_of(wall: datetime, zone: ZoneInfo, dst: Dst) -> tuple[datetime | None, str | None]:
    """Return the one moment of a local time under ``dst``, and a note when a change plays a part.

    ``None`` when it is left out. What comes twice happens the first time; see `times` for ``twice``.
    """
    first, second = _offset(wall, zone, 0), _offset(wall, zone, 1)
    moment = (wall - first).replace(tzinfo=UTC)
    if first == second:
        return moment, None
    day = f"{wall:%Y-%m-%d} in {zone.key}"
    if first > second:
        return moment, f"{wall:%H:%M:%S} comes twice on {day}; this is the first"
    missing = f"{wall:%H:%M:%S} does not exist on {day}"
    if dst is Dst.SHIFT:
        return moment, f"{missing}; moved to {wall_of(moment, zone):%H:%M:%S}"
    if dst is Dst.ONCE:
        moment = _end_of_gap((wall - second).replace(tzinfo=UTC), moment, zone)
        return moment, f"{missing}; it happens at {wall_of(moment, zone):%H:%M:%S}, when the gap is over"
    return None, f"{missing}; left out"


def earliest(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the earliest moment that ``wall`` or any later local time can have."""
    first, second = _offset(wall, zone, 0), _offset(wall, zone, 1)
    moment = (wall - first).replace(tzinfo=UTC)
    return moment if first >= second else _end_of_gap((wall - second).replace(tzinfo=UTC), moment, zone)


def changes(zone: ZoneInfo, after: datetime) -> Iterator[Change | datetime]:
    """Yield every change of offset after a moment, in order; a bare moment means none up to there."""
    looked = after
    while True:
        found = next_change(zone, looked)
        if found is None:
            looked += _LOOK
            yield looked
        else:
            looked = found.at
            yield found


def next_change(zone: ZoneInfo, after: datetime) -> Change | None:
    """Return the first change of offset after a moment, looking ahead for 400 days."""
    # By whole days, so that the answer can be kept for all moments of a day.
    day = after.replace(hour=0, minute=0, second=0, microsecond=0)
    for found in _changes_after_day(zone, day):
        if found.at > after:
            return found
    return None


@lru_cache(maxsize=4096)
def _changes_after_day(zone: ZoneInfo, day: datetime) -> tuple[Change, ...]:
    found: list[Change] = []
    here, offset = day, day.astimezone(zone).utcoffset()
    while here < day + _LOOK + _DAY and len(found) < 3:
        then = (here + _DAY).astimezone(zone).utcoffset()
        if then != offset and offset is not None and then is not None:
            found.append(Change(_boundary(zone, here, here + _DAY), offset, then))
        here, offset = here + _DAY, then
    return tuple(found)


def _boundary(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the first moment in (low, high] that has the offset of ``high``."""
    wanted = high.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if middle.astimezone(zone).utcoffset() == wanted:
            high = middle
        else:
            low = middle
    return high


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment of a change that lies in (before, after]."""
    return _boundary(zone, before.replace(microsecond=0), after)


def _offset(wall: datetime, zone: ZoneInfo, fold: int) -> timedelta:
    offset = wall.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None  # noqa: S101 - a zone always has one
    return offset
