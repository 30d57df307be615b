"""``client.schedules``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.events import Event
from minoots.contracts.schedules import Backfilled, Overlap, Schedule, SchedulePreview
from minoots.contracts.timers import Timer
from minoots.engine import Engine
from minoots.operations import schedules
from minoots.operations.schedules import ScheduleChange, ScheduleFilter, Spec
from minoots.operations.timers import Moment


class Schedules:
    """Read and change what recurs; ``timers.create(schedule=…)`` sets it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, schedule_id: str) -> Schedule:
        """Return a schedule as it stands."""
        return self._engine.call(schedules.read(schedule_id))

    def list(self, **filter: Unpack[ScheduleFilter]) -> Iterator[Schedule]:
        """Yield all schedules that match ``state`` and ``name``, the newest first."""
        return self._engine.items(schedules.listing(filter))

    def preview(self, schedule: Spec, *, after: Moment | None = None, limit: int = 10) -> SchedulePreview:
        """Return the next times of a schedule and what summer time does to them; nothing is saved."""
        return self._engine.call(schedules.preview(schedule, after, limit))

    def update(self, schedule_id: str, **change: Unpack[ScheduleChange]) -> Schedule:
        """Change ``schedule``, ``payload``, ``labels``; the timers that wait are made anew."""
        return self._engine.call(schedules.update(schedule_id, change))

    def pause(self, schedule_id: str) -> Schedule:
        """Hold a schedule and its timers that wait."""
        return self._engine.call(schedules.act(schedule_id, "pause"))

    def resume(self, schedule_id: str) -> Schedule:
        """Let a paused schedule go on from now; times that passed meanwhile are left out."""
        return self._engine.call(schedules.act(schedule_id, "resume"))

    def cancel(self, schedule_id: str, *, reason: str | None = None) -> Schedule:
        """End a schedule for good, with its timers that wait; what has fired goes on."""
        return self._engine.call(schedules.cancel(schedule_id, reason))

    def trigger(self, schedule_id: str) -> Timer:
        """Make an occurrence that is due now."""
        return self._engine.call(schedules.trigger(schedule_id))

    def backfill(
        self, schedule_id: str, since: Moment, until: Moment, *, overlap: Overlap | str | None = None
    ) -> Backfilled:
        """Make occurrences, due now, for the times that the rules give in a range of the past."""
        return self._engine.call(schedules.backfill(schedule_id, since, until, overlap))

    def events(self, schedule_id: str) -> Iterator[Event]:
        """Yield the events of a schedule, oldest first."""
        return self._engine.items(schedules.events(schedule_id))


class AsyncSchedules:
    """Read and change what recurs; ``timers.create(schedule=…)`` sets it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, schedule_id: str) -> Schedule:
        """Return a schedule as it stands."""
        return await self._engine.call(schedules.read(schedule_id))

    def list(self, **filter: Unpack[ScheduleFilter]) -> AsyncIterator[Schedule]:
        """Yield all schedules that match ``state`` and ``name``, the newest first."""
        return self._engine.items(schedules.listing(filter))

    async def preview(
        self, schedule: Spec, *, after: Moment | None = None, limit: int = 10
    ) -> SchedulePreview:
        """Return the next times of a schedule and what summer time does to them; nothing is saved."""
        return await self._engine.call(schedules.preview(schedule, after, limit))

    async def update(self, schedule_id: str, **change: Unpack[ScheduleChange]) -> Schedule:
        """Change ``schedule``, ``payload``, ``labels``; the timers that wait are made anew."""
        return await self._engine.call(schedules.update(schedule_id, change))

    async def pause(self, schedule_id: str) -> Schedule:
        """Hold a schedule and its timers that wait."""
        return await self._engine.call(schedules.act(schedule_id, "pause"))

    async def resume(self, schedule_id: str) -> Schedule:
        """Let a paused schedule go on from now; times that passed meanwhile are left out."""
        return await self._engine.call(schedules.act(schedule_id, "resume"))

    async def cancel(self, schedule_id: str, *, reason: str | None = None) -> Schedule:
        """End a schedule for good, with its timers that wait; what has fired goes on."""
        return await self._engine.call(schedules.cancel(schedule_id, reason))

    async def trigger(self, schedule_id: str) -> Timer:
        """Make an occurrence that is due now."""
        return await self._engine.call(schedules.trigger(schedule_id))

    async def backfill(
        self, schedule_id: str, since: Moment, until: Moment, *, overlap: Overlap | str | None = None
    ) -> Backfilled:
        """Make occurrences, due now, for the times that the rules give in a range of the past."""
        return await self._engine.call(schedules.backfill(schedule_id, since, until, overlap))

    def events(self, schedule_id: str) -> AsyncIterator[Event]:
        """Yield the events of a schedule, oldest first."""
        return self._engine.items(schedules.events(schedule_id))
