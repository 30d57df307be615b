"""`SchedulesPort`: make the timers of a schedule in the records, and hand them over."""

from __future__ import annotations

import asyncio

from temporalio import activity

from minoots_platform.clock import Clock
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, occurrences
from minoots_workflows.schedules.contracts import ScheduleAdvance, ScheduleProgress
from minoots_workflows.schedules.port import SchedulesPort


class Schedules(SchedulesPort):
    """Schedules, on the records."""

    def __init__(self, database: Database, handover: HandOver, clock: Clock) -> None:
        self._database = database
        self._handover = handover
        self._clock = clock

    @activity.defn(name="schedules.advance")
    async def advance(self, request: ScheduleAdvance) -> ScheduleProgress:
        """Make the timers that are due soon, each once, and tell when to look again."""
        async with self._database.write() as connection:
            advanced = await occurrences.advance(
                connection, request.tenant, request.schedule_id, now=self._clock()
            )
        # Of those that could not be handed over, the reconciler takes care.
        await asyncio.gather(*(self._handover.timer(request.tenant, timer_id) for timer_id in advanced.made))
        return ScheduleProgress(
            state=advanced.state,
            generation=advanced.generation,
            made=len(advanced.made),
            wake_at=advanced.wake_at,
        )
