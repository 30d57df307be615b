"""`TimersPort`: fire a timer at its exact moment, and deliver what it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from temporalio import activity

from minoots.contracts import DeliveryState, TimerState
from minoots_activities.deliveries.attempt import Attempts, Prepared
from minoots_activities.waiting import heartbeats, until
from minoots_platform.clock import Clock
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, deliveries, firing
from minoots_platform.telemetry.metrics import Metrics
from minoots_workflows.deliveries.contracts import DeliveryStart
from minoots_workflows.timers.contracts import FireOutcome, FireReport, FireRequest, TimerChange, TimerClose
from minoots_workflows.timers.port import TimersPort

from .lead import LeadWatch


class Timers(TimersPort):
    """Timers, on the records and over HTTP."""

    def __init__(
        self,
        database: Database,
        attempts: Attempts,
        watch: LeadWatch,
        handover: HandOver,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._watch = watch
        self._handover = handover
        self._metrics = metrics
        self._clock = clock

    @activity.defn(name="timers.fire")
    async def fire(self, request: FireRequest) -> FireReport:
        """Wait for the exact moment, claim the timer, deliver every action, record the outcome."""
        execution = activity.info().attempt
        if request.wake_at is not None and execution == 1:
            self._watch.observe(request.wake_at)
        async with heartbeats():
            async with self._database.read() as connection:
                spec = await firing.spec(connection, request.tenant, request.timer_id)
            if spec.generation != request.generation:
                return _overtaken(firing.Overtaken(spec.state, spec.generation, spec.fire_at))
            prepared = await self._attempts.prepare(spec, spec.actions)
            warming = [asyncio.create_task(self._attempts.warm(action)) for action in spec.actions]
            try:
                await until(request.fire_at, self._clock)
                return await self._send(spec, prepared, execution)
            finally:
                for task in warming:
                    task.cancel()
                await asyncio.gather(*warming, return_exceptions=True)

    @activity.defn(name="timers.close")
    async def close(self, request: TimerClose) -> None:
        """Record that an operator cancelled the workflow; a timer that is finished stays as it is."""
        async with self._database.write() as connection:
            await firing.close(connection, request.tenant, request.timer_id, by=request.by, now=self._clock())
            spec = await firing.spec(connection, request.tenant, request.timer_id)
        await self._handover.after_timer(spec.timer_id, **spec.owners)

    async def _send(self, spec: firing.Spec, prepared: Prepared, execution: int) -> FireReport:
        async with self._database.write() as connection:
            # The clock is read inside: waiting for the write lock is lateness too.
            claimed = await firing.claim(connection, spec, execution=execution, now=self._clock())
        if isinstance(claimed, firing.Skipped):
            await self._handover.after_timer(spec.timer_id, **spec.owners)
            return FireReport(outcome=FireOutcome.SKIPPED)
        if isinstance(claimed, firing.Overtaken):
            return _overtaken(claimed)
        if execution == 1:
            self._metrics.timer_fired((claimed.fired_at - spec.fire_at).total_seconds())
        outcomes = await asyncio.gather(
            *(self._attempts.make(spec, claim, prepared, claimed.fired_at) for claim in claimed.claims)
        )
        released: Sequence[str] = ()
        async with self._database.write() as connection:
            if outcomes:
                recorded = await deliveries.record(connection, spec.tenant, outcomes, self._clock())
                released = recorded.released
            rows = await deliveries.of_timer(connection, spec.timer_id)
        await self._handover.deliveries(spec.tenant, released)
        if claimed.escalation_id is not None:
            await self._handover.escalation(claimed.escalation_id, spec.timer_id)
        first = [row for row in rows if row.replay_of is None]
        retrying = tuple(
            DeliveryStart(tenant=spec.tenant, delivery_id=row.id, next_at=row.planned_at)
            for row in first
            if row.state in deliveries.PLANNED
        )
        if retrying:
            return FireReport(outcome=FireOutcome.DELIVERING, deliveries=retrying)
        await self._handover.after_timer(spec.timer_id, **spec.owners)
        settled = all(row.state == DeliveryState.SUCCEEDED for row in first)
        if settled and claimed.escalation_id is not None:
            return FireReport(outcome=FireOutcome.AWAITING)
        return FireReport(outcome=FireOutcome.SETTLED if settled else FireOutcome.FAILED)


def _overtaken(found: firing.Overtaken) -> FireReport:
    if not found.state.waiting:
        return FireReport(outcome=FireOutcome.CLOSED)
    change = TimerChange(
        generation=found.generation,
        fire_at=found.fire_at,
        # The change was made moments ago; a lead is only a matter of being early enough.
        lead_ms=500,
        paused=found.state is TimerState.PAUSED,
    )
    return FireReport(outcome=FireOutcome.SUPERSEDED, change=change)
