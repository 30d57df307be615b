"""`ScheduleWorkflow`: has the timers of a schedule made, some time before each is due.

Owns only the waking up. The rules and the records decide which timers there are, and each of them is a
workflow of its own, so nothing here has to be punctual. Time zones are data that change: they are looked at
in the activity, never here.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import next_look, pace

    from .contracts import ScheduleAdvance, ScheduleChanged, ScheduleProgress, ScheduleStart
    from .port import SchedulesPort


@workflow.defn(name="Schedule")
class ScheduleWorkflow:
    """One schedule, until its end or its cancellation."""

    @workflow.init
    def __init__(self, start: ScheduleStart) -> None:
        self._start = start
        self._progress = ScheduleProgress()
        self._newest = 0

    @workflow.run
    async def run(self, start: ScheduleStart) -> ScheduleProgress:
        """Advance, sleep until the next timers are to be made, and so on."""
        await pace(start, self._advance, lambda: self._newest > self._progress.generation)
        return self._progress

    @workflow.signal
    def changed(self, change: ScheduleChanged) -> None:
        """Look at the records again: it was paused, resumed, changed or cancelled."""
        self._newest = max(self._newest, change.generation)

    @workflow.query
    def state(self) -> ScheduleProgress:
        """How the schedule stands."""
        return self._progress

    async def _advance(self) -> ScheduleProgress:
        found: ScheduleProgress = await workflow.execute_activity_method(
            SchedulesPort.advance,
            ScheduleAdvance(tenant=self._start.tenant, schedule_id=self._start.schedule_id),
            **options.RECORDS,
        )
        self._progress = found.model_copy(update={"made": self._progress.made + found.made})
        look = next_look(found.wake_at)
        workflow.set_current_details(f"**{found.state}**, generation {found.generation}, {look}")
        return found
