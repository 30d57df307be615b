"""Handing accepted commands over to the engine: at once after the commit, and again by the reconciler.

Owns the order of things: read what the engine does not know, tell it, remember that it knows. A process that
dies anywhere in between leaves the row behind, and the next reconciliation repeats what is harmless to
repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final, Protocol

import sqlalchemy as sa

from minoots.errors import Failure

from .clock import Clock, utc_now
from .records import Database, escalation_reading, handovers, looks, wake_leads
from .telemetry import get_logger
from .telemetry.trace_context import continued

DEFAULT_LEAD: Final = timedelta(milliseconds=500)
"""Before any worker has observed anything."""

SETTLING: Final = timedelta(seconds=2)
"""Younger rows are still being handed over by the gateway that accepted them."""

OVERDUE: Final = timedelta(seconds=30)
"""A timer that is this late although the engine has it may have been lost there."""

_RESCUE_EVERY: Final = 30
"""Rounds of the reconciler between two looks for lost timers."""

_BATCH: Final = 200
_AT_ONCE: Final = 20
"""Hand-overs at a time: enough to catch up at a few hundred a second, too few to starve new ones."""

_BEGINNING: Final = (0.02, 0.05, 0.15)
"""Seconds: a timer's workflow is about to start that of its delivery, which may go already."""

_LEAD_FRESH: Final = timedelta(seconds=1)


class Engine(Protocol):
    """What takes timers over (Temporal). Every call may be repeated; `Failure` means "not now"."""

    async def tell(
        self,
        *,
        tenant: str,
        timer_id: str,
        name: str,
        command: str,
        generation: int,
        fire_at: datetime,
        paused: bool,
        known: bool,
        observed_lead: timedelta,
        now: datetime,
    ) -> None:
        """Make the timer stand as said."""
        ...

    async def deliver(self, *, tenant: str, delivery_id: str, planned_at: datetime, start: bool) -> bool:
        """Make the next attempt of a delivery at its time; ``start`` what nobody sees to yet.

        Return whether somebody sees to it.
        """
        ...

    async def replay(self, *, tenant: str, replay_id: str) -> None:
        """Run a replay by filter."""
        ...

    async def schedule(self, *, tenant: str, schedule_id: str, name: str, generation: int) -> None:
        """Make the timers of a schedule as the records say now."""
        ...

    async def look(
        self, *, kind: str, tenant: str, public_id: str, name: str, what: str, priority: int | None
    ) -> None:
        """Look at a plan, escalation, heartbeat, ingest, job or sandbox: ``what`` has happened to it."""
        ...


class HandOver:
    """Tells the engine what the records accepted. Never raises for an engine that is away."""

    def __init__(self, database: Database, engine: Engine, clock: Clock = utc_now) -> None:
        self._database = database
        self._engine = engine
        self._clock = clock
        self._lead = DEFAULT_LEAD
        self._lead_read_at: datetime | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._log = get_logger("minoots.handover")

    async def timer(self, tenant: str, timer_id: str) -> bool:
        """Hand one timer over; return whether the engine knows it now."""
        async with self._database.read() as connection:
            due = await handovers.timer(connection, timer_id)
        return due is None or await self._tell(due)

    async def delivery(self, tenant: str, delivery_id: str) -> bool:
        """Have the next attempt of one delivery made at its time; return whether somebody knows of it."""
        async with self._database.read() as connection:
            due = await handovers.delivery(connection, delivery_id)
        return due is None or await self._deliver(due)

    async def deliveries(self, tenant: str, delivery_ids: Sequence[str]) -> None:
        """Have those go that waited for others."""
        await asyncio.gather(*(self._in_turn(self.delivery(tenant, one)) for one in delivery_ids))

    async def replay(self, tenant: str, replay_id: str) -> bool:
        """Have a replay started; return whether it is."""
        try:
            await self._engine.replay(tenant=tenant, replay_id=replay_id)
        except Failure as failure:
            self._log.warning("replay.handover_failed", replay_id=replay_id, reason=failure.detail)
            return False
        async with self._database.write() as connection:
            await handovers.confirm_replay(connection, replay_id)
        return True

    async def schedule(self, tenant: str, schedule_id: str) -> bool:
        """Hand a schedule over with the timers that it has made; return whether the engine knows it now."""
        async with self._database.read() as connection:
            due = await handovers.schedule(connection, schedule_id)
        return due is None or await self._schedule(due)

    async def plan(self, plan_id: str, what: str = "changed") -> bool:
        """Have a plan looked at; return whether the engine knows that it is to."""
        async with self._database.read() as connection:
            due = await looks.one(connection, "plan", plan_id)
        return await self._look(due, what)

    async def escalation(self, escalation_id: str, what: str = "changed") -> bool:
        """Have an escalation looked at, and tell whoever waits for the timer that it is for.

        Return whether the engine knows that it is to look.
        """
        async with self._database.read() as connection:
            due = await looks.one(connection, "escalation", escalation_id)
            owners = await looks.owners_of_awaiting(connection, escalation_id)
        known = await self._look(due, what)
        await self.timers_of(escalation_id)
        if owners is not None:
            await self.after_timer(
                owners.timer_id, schedule_id=owners.schedule_id, parent_id=owners.parent_id
            )
        return known

    async def after_command(self, timer_id: str) -> None:
        """Tell the escalation of a command that an agent has answered it."""
        async with self._database.read() as connection:
            escalation_id = await escalation_reading.of_timer(connection, timer_id)
        if escalation_id is not None:
            await self.escalation(escalation_id, timer_id)

    async def heartbeat(self, tenant: str, heartbeat_id: str, what: str = "changed") -> bool:
        """Have a heartbeat looked at; return whether the engine knows that it is to."""
        return await self._look(looks.Look("heartbeat", tenant, heartbeat_id, heartbeat_id, 0, None), what)

    async def ingest(self, ingest_id: str) -> bool:
        """Have the files of an ingest taken in; return whether the engine knows that they are to be."""
        async with self._database.read() as connection:
            due = await looks.one(connection, "ingest", ingest_id)
        return await self._look(due, "sent")

    async def job(self, job_id: str, what: str = "submitted") -> bool:
        """Have a job done, or stopped; return whether the engine knows that it is to be."""
        async with self._database.read() as connection:
            due = await looks.one(connection, "job", job_id)
        return await self._look(due, what)

    async def sandbox(self, sandbox_id: str, what: str = "wanted") -> bool:
        """Have a sandbox opened, or closed; return whether the engine knows that it is to be."""
        async with self._database.read() as connection:
            due = await looks.one(connection, "sandbox", sandbox_id)
        return await self._look(due, what)

    async def after_timer(self, timer_id: str, *, schedule_id: str | None, parent_id: str | None) -> None:
        """Tell whoever waits for a timer that it has ended or was changed."""
        if schedule_id is not None:
            # One that waited for this one may go now.
            await self.timers_of(schedule_id)
        if parent_id is not None and parent_id.startswith("pln_"):
            await self.plan(parent_id, timer_id)

    async def timers_of(self, owner: str) -> None:
        """Hand over what is left behind of the timers of a schedule, plan or escalation."""
        async with self._database.read() as connection:
            behind = await handovers.timers_of(connection, owner, limit=_BATCH)
        await asyncio.gather(*(self._in_turn(self._tell(due)) for due in behind))

    async def reconcile(self) -> int:
        """Hand over whatever was left behind, most urgent first; return how much the engine took."""
        before = self._clock() - SETTLING
        async with self._database.read() as connection:
            timers = await handovers.timers_behind(connection, before=before, limit=_BATCH)
            deliveries = await handovers.deliveries_behind(connection, before=before, limit=_BATCH)
            replays = await handovers.replays_behind(connection, before=before, limit=_BATCH)
            schedules = await handovers.schedules_behind(connection, before=before, limit=_BATCH)
            due = await looks.behind(connection, before=before, limit=_BATCH)
        done = await asyncio.gather(
            *(self._in_turn(self._tell(one)) for one in timers),
            *(self._in_turn(self._deliver(one)) for one in deliveries),
            *(self._in_turn(self.replay(tenant, replay_id)) for tenant, replay_id in replays),
            *(self._in_turn(self._schedule(one)) for one in schedules),
            *(self._in_turn(self._look(one, "left behind")) for one in due),
        )
        if done:
            self._log.info("handover.reconciled", taken=sum(done), left=len(done) - sum(done))
        return sum(done)

    async def rescue(self, overdue_by: timedelta = OVERDUE) -> int:
        """Hand over once more what should have fired long ago; return how much that was.

        The engine refuses what it still holds, so only what it lost (a terminated workflow, a lost store) is
        started anew.
        """
        async with self._database.read() as connection:
            before = self._clock() - overdue_by
            timers = await handovers.timers_overdue(connection, before=before, limit=_AT_ONCE)
            schedules = await handovers.schedules_overdue(connection, before=before, limit=_AT_ONCE)
            due = await looks.overdue(connection, before=before, limit=_AT_ONCE)
            retries = await handovers.deliveries_overdue(connection, before=before, limit=_AT_ONCE)
        await asyncio.gather(
            *(self._in_turn(self._tell(one)) for one in timers),
            *(self._in_turn(self._schedule(one)) for one in schedules),
            *(self._in_turn(self._look(one, "overdue")) for one in due),
            *(self._in_turn(self._deliver(one)) for one in retries),
        )
        return len(timers) + len(schedules) + len(due) + len(retries)

    async def run(self, interval: timedelta = timedelta(seconds=1)) -> None:
        """Reconcile every ``interval`` until cancelled. A database that is away is waited for."""
        for round_ in count():
            try:
                await self.reconcile()
                if round_ % _RESCUE_EVERY == 0:
                    await self.rescue()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                self._log.error("handover.reconcile_failed", error=type(error).__name__)
            await asyncio.sleep(interval.total_seconds())

    async def _in_turn(self, work: Awaitable[bool]) -> bool:
        async with self._slots:
            return await work

    async def _tell(self, due: handovers.TimerHandover) -> bool:
        now = self._clock()
        try:
            with continued(due.traceparent):
                await self._engine.tell(
                    tenant=due.tenant,
                    timer_id=due.timer_id,
                    name=due.name,
                    command=due.command,
                    generation=due.generation,
                    fire_at=due.fire_at,
                    paused=due.paused,
                    known=due.known,
                    observed_lead=await self._observed_lead(now),
                    now=now,
                )
        except Failure as failure:
            self._log.warning("timer.handover_failed", timer_id=due.timer_id, reason=failure.detail)
            return False
        async with self._database.write() as connection:
            await handovers.confirm_timer(connection, due, self._clock())
        return True

    async def _deliver(self, due: handovers.DeliveryHandover) -> bool:
        try:
            with continued(due.traceparent):
                for pause in (*_BEGINNING, None):
                    known = await self._engine.deliver(
                        tenant=due.tenant,
                        delivery_id=due.delivery_id,
                        planned_at=due.planned_at,
                        start=due.start,
                    )
                    if known or pause is None:
                        break
                    await asyncio.sleep(pause)
        except Failure as failure:
            self._log.warning("delivery.handover_failed", delivery_id=due.delivery_id, reason=failure.detail)
            return False
        if not known:
            return False
        async with self._database.write() as connection:
            await handovers.confirm_delivery(connection, due)
        return True

    async def _schedule(self, due: handovers.ScheduleHandover) -> bool:
        try:
            with continued(due.traceparent):
                await self._engine.schedule(
                    tenant=due.tenant,
                    schedule_id=due.schedule_id,
                    name=due.name,
                    generation=due.generation,
                )
        except Failure as failure:
            self._log.warning("schedule.handover_failed", schedule_id=due.schedule_id, reason=failure.detail)
            return False
        async with self._database.write() as connection:
            await handovers.confirm_schedule(connection, due)
        return True

    async def _look(self, due: looks.Look, what: str) -> bool:
        try:
            with continued(due.traceparent):
                await self._engine.look(
                    kind=due.kind,
                    tenant=due.tenant,
                    public_id=due.public_id,
                    name=due.name,
                    what=due.told or what,
                    priority=due.priority,
                )
        except Failure as failure:
            self._log.warning(
                "look.handover_failed", kind=due.kind, public_id=due.public_id, reason=failure.detail
            )
            return False
        async with self._database.write() as connection:
            await looks.confirm(connection, due)
        return True

    async def _observed_lead(self, now: datetime) -> timedelta:
        if self._lead_read_at is None or now - self._lead_read_at > _LEAD_FRESH:
            self._lead_read_at = now
            async with self._database.read() as connection:
                self._lead = await wake_leads.current(connection, now) or DEFAULT_LEAD
        return self._lead
