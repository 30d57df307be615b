"""Noticing new events, whichever process wrote them: one look at the counters wakes everybody who waits.

Polls only while somebody waits. Of tenants whose log somebody reads, the newest events are read once for all
readers and kept in a ring of fixed size; whoever falls behind it reads on from the records, so nothing is
dropped and nothing grows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Event
from minoots_platform.records import Database, events
from minoots_platform.telemetry import get_logger

INTERVAL: Final = 0.05
"""Seconds between two looks."""
_AFTER_FAILURE: Final = 1.0
_PAGE: Final = 500


RING: Final = 4096
"""Events of a tenant that are kept for its readers: four seconds of a thousand a second."""


@dataclass(frozen=True)
class Entry:
    """One event as it is sent, with what filters look at."""

    sequence: int
    type: str
    subject: str
    labels: dict[str, str]
    json: str


@dataclass
class _Ring:
    """The newest events of a tenant; their numbers have no gaps."""

    start: int
    """Everything above this number that there is stands in ``entries``."""
    entries: list[Entry] = field(default_factory=list)

    def add(self, new: Sequence[Entry]) -> None:
        self.entries += new
        over = len(self.entries) - RING
        if over > 0:
            del self.entries[:over]
            self.start += over

    @property
    def end(self) -> int:
        return self.start + len(self.entries)


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

    def take(self, after: int, most: int) -> list[Entry] | None:
        """Return up to ``most`` events above ``after``; ``None`` when the records have to be asked."""
        return self._tailer.kept(self._tenant, after, most)


class Tailer:
    """Watches the newest event number of every tenant that somebody follows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: Counter[str] = Counter()
        self._readers: Counter[str] = Counter()
        self._rings: dict[str, _Ring] = {}
        self._newest: dict[str, int] = {}
        self._looked = asyncio.Event()
        self._look_now = asyncio.Event()
        self.stopped = False
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("minoots.events")

    @contextmanager
    def following(self, tenant: str, *, reading: bool = False) -> Iterator[Following]:
        """Watch ``tenant`` for as long as the block lasts; with ``reading`` keep its newest events, too."""
        self._followers[tenant] += 1
        self._readers[tenant] += reading
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="event tailer")
        try:
            yield Following(self, tenant)
        finally:
            self._followers[tenant] -= 1
            self._readers[tenant] -= reading
            if not self._readers[tenant]:
                del self._readers[tenant]
                self._rings.pop(tenant, None)
            if not self._followers[tenant]:
                del self._followers[tenant]
                self._newest.pop(tenant, None)

    def newest(self, tenant: str) -> int:
        """Return the newest number seen, 0 before the first look."""
        return self._newest.get(tenant, 0)

    def kept(self, tenant: str, after: int, most: int) -> list[Entry] | None:
        """Return up to ``most`` kept events above ``after``; ``None`` when not all of them are kept."""
        ring = self._rings.get(tenant)
        if ring is None or after < ring.start:
            return None
        first = after - ring.start
        return ring.entries[first : first + most]

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
                    await self._read_on(connection, newest)
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

    async def _read_on(self, connection: AsyncConnection, newest: dict[str, int]) -> None:
        for tenant in [tenant for tenant in self._readers if tenant in newest]:
            ring = self._rings.setdefault(tenant, _Ring(newest[tenant]))
            while ring.end < newest[tenant]:
                page = await events.read(connection, tenant, after=ring.end, limit=_PAGE)
                ring.add([_entry(event) for event in page.events])
                if not page.events:
                    # Numbers without rows cannot be; a ring that did not fit would hide what follows.
                    self._rings[tenant] = _Ring(newest[tenant])
                    break


def _entry(event: Event) -> Entry:
    return Entry(event.sequence, event.type, event.subject, event.labels, event.model_dump_json())
