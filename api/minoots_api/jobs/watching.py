"""Noticing what happens in jobs, whichever process wrote it.

Looks only while somebody follows a job, and at all followed jobs at once. Events of jobs have numbers of
their own and do not pass through the tenant's log, so its tailer does not hear of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from minoots_platform.records import Database, jobs
from minoots_platform.telemetry import get_logger

_INTERVAL: Final = 0.05
_AFTER_FAILURE: Final = 1.0


class JobWatch:
    """Watches the newest event number of every job that somebody follows.

    Args:
        database: the records.
        stopping: set when the gateway goes: nobody waits any longer.
    """

    def __init__(self, database: Database, stopping: asyncio.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._followers: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("minoots.jobs")

    @contextmanager
    def following(self, job_id: str) -> Iterator[None]:
        """Watch a job for as long as the block lasts."""
        self._followers[job_id] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="job watch")
        try:
            yield
        finally:
            self._followers[job_id] -= 1
            if not self._followers[job_id]:
                del self._followers[job_id]
                self._newest.pop(job_id, None)

    async def wait(self, job_id: str, after: int, within: float) -> bool:
        """Wait for an event numbered above ``after``, or for the end of the job; ``False`` when none comes.

        Call it within `following`.
        """
        try:
            async with asyncio.timeout(within):
                while self._newest.get(job_id, 0) <= after and not self._stopping.is_set():
                    await self._looked.wait()
        except TimeoutError:
            return False
        return True

    async def _look(self) -> None:
        while self._followers:
            pause = _INTERVAL
            try:
                async with self._database.read() as connection:
                    self._newest = await jobs.last_events(connection, list(self._followers))
            except (sa.exc.SQLAlchemyError, OSError) as error:
                self._log.warning("jobs.watch_failed", error=type(error).__name__)
                pause = _AFTER_FAILURE
            self._looked.set()
            self._looked = asyncio.Event()
            await asyncio.sleep(pause)
