"""Programs that another worker is at: it is let finish, also when Temporal has lost sight of it.

Owns how long a worker that says nothing is taken to be at one. What this worker is at itself, it knows better
(`underway`).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from minoots_platform.clock import Clock
from minoots_platform.records import Database, job_holds
from minoots_platform.records.job_progress import Begun
from minoots_workflows.jobs.contracts import StepDue

HOLD: Final = timedelta(seconds=6)
"""Since its last word, of which there is one a second: clocks differ, and machines are busy."""
_LOOK: Final = 0.5


class Holds:
    """Who is at programs, by the records."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def until_free(self, due: StepDue) -> None:
        """Return when nobody is at a job's program."""
        while True:
            left = await self._left(due)
            if left <= 0:
                return
            await asyncio.sleep(min(_LOOK, left))

    async def go_on(self, begun: Begun) -> bool:
        """Tell whether an attempt may go on; if so, it is held for another while."""
        async with self._database.write() as connection:
            return await job_holds.go_on(connection, begun, self._clock() + HOLD)

    async def let_go(self, begun: Begun) -> None:
        """Have nobody wait for an attempt any more."""
        async with self._database.write() as connection:
            await job_holds.let_go(connection, begun)

    async def _left(self, due: StepDue) -> float:
        async with self._database.read() as connection:
            until = await job_holds.held_until(connection, due.tenant, due.job_id)
        return 0.0 if until is None else (until - self._clock()).total_seconds()
