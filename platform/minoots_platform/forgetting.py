"""Forgetting whatever is kept long enough: what has ended, usage, contents that nobody names, old keys.

Owns when it is looked for, and that each transaction is small. How long is long enough is a setting (`Keep`);
what goes with what is known to the records.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from .clock import Clock, utc_now
from .records import (
    Database,
    content_holds,
    contents,
    idempotency,
    job_cleaning,
    sandboxes,
    sources,
    staging,
)
from .records.job_cleaning import Keep
from .telemetry import get_logger

EVERY: Final = timedelta(hours=1)


class Forgetting:
    """Lets go of what is over. Any number of processes may do it at the same time."""

    def __init__(self, database: Database, keep: Keep, clock: Clock = utc_now) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock
        self._log = get_logger("minoots.forgetting")

    async def run(self, interval: timedelta = EVERY) -> None:
        """Forget every ``interval`` until cancelled."""
        while True:
            try:
                await self.forget()
            except Exception as error:
                # A database that is away, or a defect: what is not forgotten now is the next time, and the
                # worker has other things to do than to end for it.
                self._log.error("forgetting.failed", error=type(error).__name__, exc_info=True)
            await asyncio.sleep(interval.total_seconds())

    async def forget(self) -> None:
        """Forget all that is kept long enough."""
        async with self._database.write() as connection:
            await idempotency.forget_old(connection, self._clock())
        async with self._database.write() as connection:
            await staging.forget_left(connection, self._clock())
            await sources.forget_unused(connection, self._clock() - staging.LEFT_FOR)
        await self.forget_ended()
        await self.forget_contents()

    async def forget_ended(self) -> None:
        """Forget ended jobs and sandboxes, and rows of usage, until there are none that are old enough."""
        for forget, kept, at_once in (
            (job_cleaning.forget_ended, self._keep.jobs, job_cleaning.JOBS_AT_ONCE),
            (job_cleaning.forget_usage, self._keep.usage, job_cleaning.USAGE_AT_ONCE),
            (sandboxes.forget_ended, self._keep.jobs, sandboxes.FORGOTTEN_AT_ONCE),
        ):
            forgotten = 0 if kept is None else at_once
            while kept is not None and forgotten >= at_once:
                async with self._database.write() as connection:
                    forgotten = await forget(connection, self._clock() - kept)

    async def forget_contents(self) -> None:
        """Forget contents that no job names, now or later, until there are none."""
        async with self._database.write() as connection:
            await content_holds.release(connection, self._clock())
        forgotten = contents.FORGOTTEN_AT_ONCE
        while forgotten >= contents.FORGOTTEN_AT_ONCE:
            async with self._database.write() as connection:
                forgotten = await contents.forget_unnamed(connection, self._clock())
