"""Who is told again that there is something to do, and when. Pure.

What is not done yet is, nearly always, waiting for its turn: telling it again every time that somebody looks
makes more work the more there is already, until nothing else is done. So who was told is left alone for a
while, and then told again ever more rarely.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_FIRST: Final = 15.0
"""Seconds for which one that was told is left alone; each further time it is twice as long."""
_RAREST: Final = 300.0
"""Seconds between two times, at most: who was told, but never heard it, waits no longer."""


class Reminders:
    """Remembers who was told of something, until it is done and a while is over.

    Times are in seconds, of any clock that only goes forward.
    """

    def __init__(self) -> None:
        self._left_alone: dict[str, tuple[float, float]] = {}
        """For each that was told: until when it is left alone, and for how long the next time."""

    @property
    def known(self) -> int:
        """How many are remembered."""
        return len(self._left_alone)

    def due(self, undone: Iterable[str], now: float) -> list[str]:
        """Return those of the undone that are to be told ``now``. ``undone`` are all that there are."""
        there = dict.fromkeys(undone)
        self._left_alone = {
            name: (until, pause)
            for name, (until, pause) in self._left_alone.items()
            if until > now or name in there
        }
        return [name for name in there if not self.left_alone(name, now)]

    def left_alone(self, name: str, now: float) -> bool:
        """Return whether it was told so lately that it is not told again."""
        return self._left_alone.get(name, (now, 0.0))[0] > now

    def told(self, name: str, now: float) -> None:
        """Remember that it was told."""
        until, pause = self._left_alone.get(name, (now, _FIRST))
        # Of one that is left alone there is news: what it does about that is no answer to being told again.
        pause = _FIRST if until > now else pause
        self._left_alone[name] = (now + pause, min(2 * pause, _RAREST))
