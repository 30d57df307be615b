"""How much may be under way in one direction: who sends waits until the other side has taken some of it."""

from __future__ import annotations

import asyncio

from .frames import MOST_INPUT


class Room:
    """Room for `MOST_INPUT` bytes."""

    def __init__(self) -> None:
        self._left = MOST_INPUT
        self._freed = asyncio.Event()

    async def take(self, count: int) -> None:
        """Wait until there is room for so many bytes, and take it."""
        while self._left < count:
            self._freed.clear()
            await self._freed.wait()
        self._left -= count

    def free(self, count: int) -> None:
        """Give room back."""
        self._left += count
        self._freed.set()
