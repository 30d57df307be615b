"""Rules as local times without a zone: what a clock on the wall shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from .rrules import RuleFault, parse_rrule

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SECOND: Final = timedelta(seconds=1)


def cron_fields(text: str) -> list[str]:
    """Return the fields of a cron rule, six with the seconds first.

    Raises:
        RuleFault: when there are neither five nor six, or an alias is unknown.
    """
    text = text.strip()
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise RuleFault(f"expected one of {', '.join(ALIASES)}")
        text = ALIASES[text.lower()]
    fields = text.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise RuleFault('expected five fields, or six with seconds first, such as "0 9 * * 1-5"')
    return fields


def every_hour(text: str) -> bool:
    """Tell whether a cron rule names no hour, so that it goes with the hours as they pass."""
    return cron_fields(text)[2] == "*"


def cron_walls(text: str, first: datetime) -> Iterator[datetime]:
    """Yield the local times of a cron rule from ``first`` on, inclusive.

    Raises:
        RuleFault: when a field cannot be read.
    """
    try:
        # It yields what is later than the second that it is given.
        yield from CronSim(" ".join(cron_fields(text)), _ceiling(first) - _SECOND)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise RuleFault(f"expected a possible {field} (numbers, names, lists, ranges, steps)") from error
    except OverflowError:
        return


def rrule_walls(text: str, start: datetime, zone: ZoneInfo, first: datetime) -> Iterator[datetime]:
    """Yield the local times of an RFC 5545 rule that counts from ``start``, from ``first`` on.

    Raises:
        RuleFault: when it cannot be read, or is too frequent.
    """
    rule = parse_rrule(text, start.replace(microsecond=0), str(zone))
    try:
        yield from rule.xafter(first, inc=True)
    except (OverflowError, ValueError):
        return  # beyond the year 9999


def _ceiling(moment: datetime) -> datetime:
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + _SECOND
