"""Who is told again that there is something to do, and when. Pure.

What is not done yet is, nearly always, waiting for its turn: telling it again every time that somebody looks
makes more work the more there is already, until nothing else is done. So each is told at once when it is
first found undone, and then ever more rarely.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_FIRST: Final = 15.0
"""Seconds until it is told a second time; each further time takes twice as long."""
_RAREST: Final = 300.0
"""Seconds between two times, at most: who was never told, for whatever reason, waits no longer."""


class Reminders:
    """Remembers who was told of something that is not done yet."""

    def __init__(self) -> None:
        self._next: dict[str, tuple[float, float]] = {}
        """For each that was told: when it is told again, and the pause after that."""

    @property
    def known(self) -> int:
        """How many have been told, and are not done yet as far as is known."""
        return len(self._next)

    def due(self, undone: Iterable[str], now: float) -> list[str]:
        """Return those that are to be told ``now``, in seconds of any clock that only goes forward.

        ``undone`` are all that are not done: of others it is forgotten that they were told.
        """
        there = dict.fromkeys(undone)
        self._next = {name: told for name, told in self._next.items() if name in there}
        return [name for name in there if self._next.get(name, (now, 0.0))[0] <= now]

    def told(self, name: str, now: float) -> None:
        """Remember that it was told."""
        _, pause = self._next.get(name, (now, _FIRST))
        self._next[name] = (now + pause, min(2 * pause, _RAREST))
