"""What is remembered as long as there is room: of a process that runs for months, the oldest is forgotten.

For what may be done or told once more without harm. Knows nothing of what it holds.
"""

from __future__ import annotations

from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST: Final = 10_000
"""Entries: some megabytes."""


class Recent(dict[K, V]):
    """A dictionary that forgets what was set the longest ago."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Set one, as the latest."""
        self.pop(key, None)
        super().__setitem__(key, value)
        while len(self) > self._most:
            del self[next(iter(self))]
