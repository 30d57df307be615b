"""Noticing that keys have ended, for whoever was let in with one and stays: streams and sockets.

Owns one look at all these keys, every now and then, while there are any. Lets nobody in, and knows nothing of
scopes: those of a key do not change.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import sqlalchemy as sa

from minoots_platform.clock import Clock
from minoots_platform.identity import Principal
from minoots_platform.records import Database, api_keys
from minoots_platform.telemetry import get_logger

INTERVAL: Final = 2.0
"""Seconds between two looks: so long does somebody stay whose key has ended."""

ENDED: Final = "the key was revoked or has expired"


class KeyWatch:
    """Watches the keys of all who stay.

    Args:
        database: the records.
        clock: the time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._watched: Counter[str] = Counter()
        self._ended: frozenset[str] = frozenset()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("minoots.gateway")

    async def ended(self, principal: Principal) -> None:
        """Return once the key of somebody has been revoked or has expired; never for who needs none."""
        key = principal.subject
        self._watched[key] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="key watch")
        try:
            while key not in self._ended:
                await self._looked.wait()
        finally:
            self._watched[key] -= 1
            if not self._watched[key]:
                del self._watched[key]

    async def _look(self) -> None:
        while self._watched:
            try:
                async with self._database.read() as connection:
                    self._ended = await api_keys.ended(connection, list(self._watched), self._clock())
            except (sa.exc.SQLAlchemyError, OSError) as error:
                # While the records are away nothing is read from them either.
                self._log.warning("keys.watch_failed", error=type(error).__name__)
            self._looked.set()
            self._looked = asyncio.Event()
            await asyncio.sleep(INTERVAL)
