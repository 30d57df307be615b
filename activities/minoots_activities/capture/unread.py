"""Transcripts that could not be read when it was their turn: which, why, and when each is tried again.

Owns the waiting, in memory: after a restart they are new to the watcher, for nothing was kept of how they are
now. Reads nothing itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

_AT_FIRST: Final = 1.0
"""Seconds that one is left alone which could be opened but not be read."""
_AT_MOST: Final = 600.0
"""Seconds in the end, as each time it is twice as long."""


@dataclass
class _Missed:
    path: str
    reason: str
    fresh: bool
    wait: float
    at: float


@dataclass(frozen=True)
class Again:
    """A transcript, or one session of a store, that it is time to try again."""

    key: str
    path: str
    fresh: bool
    """Whether it was fresh when it could not be read: commands in it are no history."""


class Unread:
    """What this process could not read. May be asked by several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missed: dict[str, _Missed] = {}

    def missed(self, key: str, path: str, reason: str, *, fresh: bool) -> None:
        """Remember one that could not be read."""
        before = self._missed.get(key)
        wait = _AT_FIRST if before is None else min(2 * before.wait, _AT_MOST)
        fresh = fresh or (before is not None and before.fresh)
        self._missed[key] = _Missed(path, reason, fresh, wait, self._clock() + wait)

    def over(self, key: str) -> None:
        """Forget one that was read, or is gone."""
        self._missed.pop(key, None)

    def only(self, path: str, keys: Collection[str]) -> None:
        """Forget the sessions of a store that are not in it any more."""
        for key, one in list(self._missed.items()):
            if one.path == path and key != path and key not in keys:
                self._missed.pop(key, None)

    def due(self) -> list[Again]:
        """Return those that it is time to try."""
        now = self._clock()
        return [Again(key, one.path, one.fresh) for key, one in list(self._missed.items()) if one.at <= now]

    def told(self, key: str) -> None:
        """Leave one alone for long: somebody was told to read it, and says how that went."""
        if (one := self._missed.get(key)) is not None:
            one.at = self._clock() + _AT_MOST

    def reasons(self) -> list[str]:
        """Return for people what could not be read, and why."""
        return [f"{key}: {one.reason}" for key, one in list(self._missed.items())]
