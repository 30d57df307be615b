"""Rules as local times without a zone: what a clock on the wall shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrule, rrulestr

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
SLOW: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
"""Frequencies of an rrule: it is walked from its start every time, so faster ones would take too long."""

TIMES_A_DAY: Final = 24
"""For the same reason."""

_SECOND: Final = timedelta(seconds=1)
_UNTIL: Final = re.compile(r"UNTIL=(\d{8}T\d{6})Z")


class RuleFault(ValueError):
    """A rule that cannot be read; the text says what was expected."""


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


@lru_cache(maxsize=256)
def parse_rrule(text: str, start: datetime, zone: str) -> rrule:
    """Return an RFC 5545 rule for local times.

    Raises:
        RuleFault: when it cannot be read, or is too frequent.
    """
    parts = _parts(text)
    if parts.get("FREQ") not in SLOW:
        raise RuleFault(f"expected FREQ={', '.join(SLOW)}; use cron or every for what recurs within a day")
    if parts["FREQ"] == "DAILY" and "BYSETPOS" in parts:
        raise RuleFault("expected no BYSETPOS with FREQ=DAILY")
    times = 1
    for name in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        times *= len(set(parts.get(name, "0").split(",")))
    if times > TIMES_A_DAY:
        raise RuleFault(f"expected at most {TIMES_A_DAY} times a day; use cron or every for more")
    try:
        found = rrulestr(_UNTIL.sub(lambda until: _local_until(until, zone), text.upper()), dtstart=start)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise RuleFault(f"expected an RFC 5545 rule; {error}") from error
    assert isinstance(found, rrule)  # noqa: S101 - one rule without sets, as `_parts` makes sure
    return found


def yearly_form(text: str) -> str:
    """Return the rule that looks at each day of the year: without a time if ``text`` never has one."""
    kept = {name: value for name, value in _parts(text).items() if name not in _NO_FILTER}
    return ";".join(f"{name}={value}" for name, value in ({"FREQ": "YEARLY"} | kept).items())


_NO_FILTER: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYSETPOS", "WKST")


def _parts(text: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z0-9=;,+-]+", text):
        raise RuleFault("expected one rule such as FREQ=MONTHLY;BYDAY=1FR, without DTSTART and line ends")
    pairs = [part.partition("=") for part in text.upper().split(";")]
    if len({name for name, _, _ in pairs}) != len(pairs):
        raise RuleFault("expected each part once")
    return {name: value for name, _, value in pairs}


def _local_until(found: re.Match[str], zone: str) -> str:
    until = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=ZoneInfo("UTC"))
    return f"UNTIL={until.astimezone(ZoneInfo(zone)):%Y%m%dT%H%M%S}"


def _ceiling(moment: datetime) -> datetime:
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + _SECOND
