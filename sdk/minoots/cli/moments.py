"""Times as people read them: in the local zone, and how far from now. Pure but for that zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def local(moment: datetime | None, now: datetime) -> str:
    """Return ``moment`` in the local zone and relative to ``now``: ``2026-11-20 22:40:05 CET (in 4m)``."""
    if moment is None:
        return "-"
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z} ({relative(moment, now)})"


def relative(moment: datetime, now: datetime) -> str:
    """Return the distance in one unit, or in two below ten of the first: ``in 14m``, ``1h 30m ago``."""
    distance = moment - now
    seconds = round(abs(distance) / timedelta(seconds=1))
    if seconds == 0:
        return "now"
    text = ""
    for index, (unit, size) in enumerate(_UNITS):
        count, rest = divmod(seconds, size)
        if count:
            text = f"{count}{unit}"
            if count < 10 and index + 1 < len(_UNITS):
                smaller, smaller_size = _UNITS[index + 1]
                if rest // smaller_size:
                    text += f" {rest // smaller_size}{smaller}"
            break
    return f"in {text}" if distance > timedelta(0) else f"{text} ago"
