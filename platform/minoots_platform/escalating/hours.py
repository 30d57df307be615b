"""Times of day in a zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from minoots.contracts.escalations import DAYS, Hours

_DAY = timedelta(days=1)


def covers(hours: Hours, at: datetime) -> bool:
    """Tell whether ``at`` lies in ``hours``, as the clocks on the wall of the zone show it."""
    local = at.astimezone(ZoneInfo(hours.zone)).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    since, until = _offset(hours.since), _offset(hours.until)
    if until <= since:
        until += _DAY
    # Hours that reach into the next day may have begun yesterday.
    for day in (midnight, midnight - _DAY):
        if DAYS[day.weekday()] in hours.days and day + since <= local < day + until:
            return True
    return False


def _offset(clock: str) -> timedelta:
    hour, minute = clock.split(":")
    return timedelta(hours=int(hour), minutes=int(minute))
