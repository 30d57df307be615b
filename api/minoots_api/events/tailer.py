"""Noticing new events, whichever process wrote them: one look at the counters wakes everybody who waits.

Polls only while somebody waits. Carries no event: each reader reads its own from the records, so nothing is
buffered and nothing can be dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import sqlalchemy as sa

from minoots_platform.records import Database, events
from minoots_platform.telemetry import get_logger

INTERVAL: Final = 0.05
"""Seconds between two looks."""
_AFTER_FAILURE: Final = 1.0


class Following:
    """One reader's view of its tenant's log."""

    def __init__(self, tailer: Tailer, tenant: str) -> None:
        self._tailer = tailer
        self._tenant = tenant

    async def wait(self, after: int, within: float) -> bool:
        """Wait for an event numbered above ``after``, or for the end; ``False`` after ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                while self._tailer.newest(self._tenant) <= after and not self._tailer.stopped:
                    await self._tailer.news()
        except TimeoutError:
            return False
        return True


class Tailer:
    """Watches the newest event number of every tenant that somebody follows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._looked = asyncio.Event()
        self._look_now = asyncio.Event()
        self.stopped = False
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("minoots.events")

    @contextmanager
    def following(self, tenant: str) -> Iterator[Following]:
        """Watch ``tenant`` for as long as the block lasts."""
        self._followers[tenant] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="event tailer")
        try:
            yield Following(self, tenant)
        finally:
            self._followers[tenant] -= 1
            if not self._followers[tenant]:
                del self._followers[tenant]
                self._newest.pop(tenant, None)

    def newest(self, tenant: str) -> int:
        """Return the newest number seen, 0 before the first look."""
        return self._newest.get(tenant, 0)

    async def news(self) -> None:
        """Wait for the next change of any number, or for the end."""
        await self._looked.wait()

    def look(self) -> None:
        """Look at once: something was written here a moment ago."""
        self._look_now.set()

    def stop(self) -> None:
        """Let nobody wait any longer: the gateway is going."""
        self.stopped = True
        self._wake()

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wake(self) -> None:
        self._looked.set()
        self._looked = asyncio.Event()

    async def _look(self) -> None:
        while self._followers:
            pause = INTERVAL
            try:
                async with self._database.read() as connection:
                    newest = await events.last_sequences(connection, list(self._followers))
            except (sa.exc.SQLAlchemyError, OSError) as error:
                self._log.warning("events.look_failed", error=type(error).__name__)
                newest, pause = {}, _AFTER_FAILURE
            changed = {
                tenant: number
                for tenant, number in newest.items()
                if tenant in self._followers and self._newest.get(tenant) != number
            }
            if changed:
                self._newest |= changed
                self._wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look_now.wait()
            self._look_now.clear()
