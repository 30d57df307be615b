"""The next times of a recurrence, and what daylight saving time takes away between them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from minoots.contracts import Dst, LeftOut, PlannedTime, Recurrence, SchedulePreview

from .times import occurrences, walls_of
from .walls import every_hour
from .zones import Change, changes, moment_of


def preview(recurrence: Recurrence, after: datetime, anchor: datetime, limit: int) -> SchedulePreview:
    """Return the next ``limit`` times after ``after``; fewer when the recurrence ends before."""
    zone = ZoneInfo(recurrence.zone)
    if recurrence.count is not None and after <= anchor:
        limit = min(limit, recurrence.count)
    found = list(islice(occurrences(recurrence, after, anchor), limit))
    times = tuple(
        PlannedTime(at=one.at, local=one.at.astimezone(zone).isoformat(), note=one.note) for one in found
    )
    left_out = tuple(_left_out(recurrence, zone, after, found[-1].at, anchor)) if found else ()
    return SchedulePreview(times=times, left_out=left_out)


def _left_out(
    recurrence: Recurrence, zone: ZoneInfo, after: datetime, until: datetime, anchor: datetime
) -> Iterator[LeftOut]:
    if recurrence.dst not in (Dst.SKIP, Dst.TWICE):
        return
    for change in changes(zone, after):
        if (change.at if isinstance(change, Change) else change) > until:
            return
        if not isinstance(change, Change) or change.after <= change.before:
            continue
        for rule in recurrence.rules:
            walls = walls_of(rule, zone, recurrence.start or anchor)
            if walls is None or (rule.cron is not None and every_hour(rule.cron)):
                continue
            for wall in walls(change.wall):
                if wall >= change.wall + change.length:
                    break
                _, note = moment_of(wall, zone, Dst.SKIP)
                yield LeftOut(local=wall.isoformat(), note=note or "left out")
