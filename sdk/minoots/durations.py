"""Durations as people and programs write them: ``"90s"``, ``"1h30m"``, ``"PT1H30M"``, ``90`` or ``0.25``.

Owns parsing and printing; knows nothing of timers or of the clock.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

MAX_DURATION: Final = timedelta(days=3653)
"""Ten years, leap days included: the longest delay that Minoots accepts."""

EXPECTED: Final = (
    'a duration such as "90s", "1h30m", "250ms", the ISO 8601 form "PT1H30M", '
    "or a number of seconds, up to 10 years (units: ms, s, m, h, d, w)"
)

_UNIT_SECONDS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
    "w": Decimal(604_800),
}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
SHORT_PATTERN: Final = rf"^(?:{_NUMBER}(?:ms|s|m|h|d|w))+$"
ISO_PATTERN: Final = (
    rf"^P(?=.)(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?$"
)
_SHORT = re.compile(SHORT_PATTERN)
_SHORT_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d|w)")
_ISO = re.compile(ISO_PATTERN)
_ISO_PART = re.compile(rf"({_NUMBER})([WDHMS])")


def parse_duration(value: object) -> timedelta:
    """Return ``value`` as a non-negative ``timedelta`` of microsecond resolution.

    Accepts a short form (units ``ms s m h d w``, each at most once, largest first), an ISO 8601 duration
    without years and months (their length depends on the calendar), a number of seconds, or a ``timedelta``.

    Raises:
        ValueError: for anything else, a repeated or misordered unit, or more than ten years. The text says
            what was expected and what came.
    """
    parsed = _parse(value)
    if parsed is None or parsed < timedelta(0) or parsed > MAX_DURATION:
        raise ValueError(f"expected {EXPECTED}; got {_shown(value)}")
    return parsed


def format_duration(duration: timedelta) -> str:
    """Return ``duration`` in the short form that `parse_duration` reads back exactly, such as ``"1h30m"``."""
    micros = duration // timedelta(microseconds=1)
    seconds, micros = divmod(micros, 1_000_000)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    if micros:
        parts.append(f"{seconds + micros / 1_000_000:.6f}".rstrip("0") + "s")
    elif seconds or not parts:
        parts.append(f"{seconds}s")
    return "".join(parts)


def _parse(value: object) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # A number beyond the limit may not fit a timedelta at all, so it is refused before it is converted;
        # NaN compares false with everything.
        return timedelta(seconds=value) if 0 <= value <= 1e9 else None
    if not isinstance(value, str):
        return None
    if _SHORT.fullmatch(value):
        units = list(_UNIT_SECONDS)
        found = [(Decimal(number), unit) for number, unit in _SHORT_PART.findall(value)]
        ranks = [units.index(unit) for _, unit in found]
        if any(later >= earlier for earlier, later in pairwise(ranks)):
            return None
        return _seconds(sum((number * _UNIT_SECONDS[unit] for number, unit in found), Decimal(0)))
    if _ISO.fullmatch(value):
        date, _, time = value[1:].partition("T")
        total = sum((Decimal(n) * _UNIT_SECONDS[u.lower()] for n, u in _ISO_PART.findall(date)), Decimal(0))
        total += sum((Decimal(n) * _UNIT_SECONDS[u.lower()] for n, u in _ISO_PART.findall(time)), Decimal(0))
        return _seconds(total)
    return None


def _seconds(total: Decimal) -> timedelta | None:
    if total > Decimal(1_000_000_000):
        return None
    return timedelta(microseconds=int(total * 1_000_000))


def _shown(value: object) -> str:
    # Python refuses to print an integer of thousands of digits.
    text = "an enormous number" if isinstance(value, int) and abs(value) > 10**30 else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
