"""Which time something is said, where nothing but what is said tells one event from another. Pure.

Counts are exact for what was said last; of what was said long ago, those that share a place share a count. It
may be too high, never too low: an event is told as another one rather than not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .reader import digest

_EXACT: Final = 1000
_DIGITS: Final = 12
_PLACES: Final = 2
"""Hex digits of a hash; of the place that those share that were said long ago."""


class Occurrences:
    """Counts what is said, in little space however much it is."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        given = state or {}
        self._last: dict[str, int] = dict(given.get("last", ()))
        self._past: dict[str, int] = dict(given.get("past", {}))

    @property
    def state(self) -> dict[str, Any]:
        """The counts, as JSON. In pairs: what was said last stands last."""
        return {"last": list(self._last.items()), "past": dict(self._past)}

    def next(self, said: str) -> int:
        """Return which time this is said, from 1."""
        name = short(said)
        times = self._last.pop(name, None)
        if times is None:
            times = self._past.get(name[:_PLACES], 0)
        self._keep(name, times + 1)
        return times + 1

    def raise_to(self, others: Occurrences) -> None:
        """Count on from whatever is higher."""
        for place, times in others._past.items():
            self._past[place] = max(times, self._past.get(place, 0))
        for name, times in others._last.items():
            self._keep(name, max(times, self._last.pop(name, 0)))

    def _keep(self, name: str, times: int) -> None:
        self._last[name] = times
        if len(self._last) > _EXACT:
            oldest = next(iter(self._last))
            place = oldest[:_PLACES]
            self._past[place] = max(self._last.pop(oldest), self._past.get(place, 0))


def short(said: str) -> str:
    """Return a short hash, for what is only compared within one conversation."""
    return digest(said)[:_DIGITS]
