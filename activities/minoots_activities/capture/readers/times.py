"""Times as programs write them: RFC 3339, or a number of some unit since 1970. Pure.

What is none of it, or cannot be when anybody talked to an agent, is no time: none is ever made up, and
nothing raises.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Behind them are zeros that stand for no time, and numbers of another unit."""
_LONGEST: Final = 64
"""Characters of a time."""
_NUMBER: Final = re.compile(r"[0-9]{9,20}(?:\.[0-9]{1,9})?")
_UNITS: Final = (1, 1_000, 1_000_000, 1_000_000_000)
"""Of a second: which one is meant tells the size. Within the years above no two of them can be confused."""


def moment(value: Any) -> datetime | None:
    """Return a time in UTC; ``None`` for what is none, also for one without an offset."""
    if isinstance(value, str):
        return _written(value.strip()) if len(value) <= _LONGEST else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _counted(value)
    return None


# All events of one record have its time.
@lru_cache(maxsize=16)
def _written(text: str) -> datetime | None:
    if _NUMBER.fullmatch(text):
        return _counted(float(text) if "." in text else int(text))
    if not (text.isascii() and text.isprintable()):
        return None
    try:
        found = datetime.fromisoformat(text.upper())
        return None if found.tzinfo is None else _possible(found.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _counted(value: int | float) -> datetime | None:
    for unit in _UNITS:
        # Compared as it is: neither a number of a thousand digits nor one that is none can be converted.
        if _FIRST.timestamp() * unit <= value < _LAST.timestamp() * unit:
            microseconds = value * 1_000_000 // unit if isinstance(value, int) else round(value / unit * 1e6)
            return _possible(_EPOCH + timedelta(microseconds=microseconds))
    return None


def _possible(found: datetime) -> datetime | None:
    return found if _FIRST <= found < _LAST else None
