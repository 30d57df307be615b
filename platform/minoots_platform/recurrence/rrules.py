"""RFC 5545 rules: what of them is taken, and the library that reads them.

Each part is checked before the library sees it: it takes more than the standard has, and with an interval of
0 it never comes back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

SLOW: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
"""Frequencies that are taken: a rule is walked from its start every time, so faster ones take too long."""

TIMES_A_DAY: Final = 24
"""For the same reason."""

_UNTIL: Final = re.compile(r"UNTIL=(\d{8}T\d{6})Z")


class RuleFault(ValueError):
    """A rule that cannot be read; the text says what was expected."""


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
    """Return the parts of a rule by name, each of a value that is possible."""
    if not re.fullmatch(r"[A-Za-z0-9=;,+-]+", text):
        raise RuleFault("expected one rule such as FREQ=MONTHLY;BYDAY=1FR, without DTSTART and line ends")
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, _, value = part.partition("=")
        if name in parts:
            raise RuleFault(f"expected {name} once")
        if name not in _POSSIBLE:
            raise RuleFault(f"expected parts of RFC 5545: {', '.join(_POSSIBLE)}; not {name or 'nothing'}")
        if not _POSSIBLE[name](value):
            raise RuleFault(
                f"expected a possible value of {name}, as RFC 5545 gives them, not {value or 'none'}"
            )
        parts[name] = value
    return parts


def _numbers(low: int, high: int, *, signed: bool = False) -> Callable[[str], bool]:
    """Return a test for a list of numbers from ``low`` to ``high``, or their negatives."""

    def possible(value: str) -> bool:
        return all(
            re.fullmatch(r"[+-]?[0-9]{1,7}" if signed else r"[0-9]{1,7}", one)
            and low <= abs(int(one)) <= high
            for one in value.split(",")
        )

    return possible


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


_DAY: Final = "(?:MO|TU|WE|TH|FR|SA|SU)"
_POSSIBLE: Final[dict[str, Callable[[str], bool]]] = {
    "FREQ": _matches("[A-Z]+"),
    "INTERVAL": _matches("[1-9][0-9]{0,3}"),
    "COUNT": _matches("[1-9][0-9]{0,5}"),
    "UNTIL": _matches("[0-9]{8}(T[0-9]{6}Z?)?"),
    "BYMONTH": _numbers(1, 12),
    "BYMONTHDAY": _numbers(1, 31, signed=True),
    "BYYEARDAY": _numbers(1, 366, signed=True),
    "BYWEEKNO": _numbers(1, 53, signed=True),
    "BYDAY": _matches(rf"(?:[+-]?[1-9][0-9]?)?{_DAY}(?:,(?:[+-]?[1-9][0-9]?)?{_DAY})*"),
    "BYSETPOS": _numbers(1, 366, signed=True),
    "BYHOUR": _numbers(0, 23),
    "BYMINUTE": _numbers(0, 59),
    "BYSECOND": _numbers(0, 59),
    "WKST": _matches(_DAY),
}


def _local_until(found: re.Match[str], zone: str) -> str:
    try:
        until = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=ZoneInfo("UTC"))
    except ValueError as error:
        raise RuleFault(f"expected an UNTIL that is a time, not {found[1]}Z") from error
    return f"UNTIL={until.astimezone(ZoneInfo(zone)):%Y%m%dT%H%M%S}"
