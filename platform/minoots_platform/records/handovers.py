"""What the engine has not been told yet. Read by the gateway right after a command and by the reconciler."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    EventType,
    HeartbeatState,
    IngestState,
    NodeState,
    PlanState,
    SandboxState,
    ScheduleState,
    TimerState,
)

from . import schema, timers

_LOOKED_AT: Final = {
    "plan": schema.plans,
    "escalation": schema.escalations,
    "ingest": schema.ingests,
    "job": schema.jobs,
    "sandbox": schema.sandboxes,
}
# As the partial indexes have it: SQLite takes them only where the very words stand in the query.
_PLANNED: Final = sa.literal_column("deliveries.state IN ('retrying', 'waiting')", sa.Boolean)
_UNTOLD: Final = sa.and_(sa.literal_column("NOT deliveries.handed_over", sa.Boolean), _PLANNED)
_BEHIND = timers.TABLE.c.armed_generation < timers.TABLE.c.generation


@dataclass(frozen=True)
class TimerHandover:
    """How a timer stands that the engine is to be told of."""

    tenant: str
    timer_id: str
    name: str
    command: str
    generation: int
    fire_at: datetime
    paused: bool
    known: bool
    traceparent: str | None


@dataclass(frozen=True)
class DeliveryHandover:
    """A delivery whose next attempt nobody knows of yet."""

    tenant: str
    delivery_id: str
    planned_at: datetime
    start: bool
    """Whether it is to be started: no timer's workflow does, or it should have long ago."""
    traceparent: str | None


@dataclass(frozen=True)
class LookHandover:
    """A plan, escalation, heartbeat, ingest, job or sandbox that the engine is to look at, as it stands."""

    kind: str
    tenant: str
    public_id: str
    name: str
    generation: int
    traceparent: str | None
    priority: int | None = None
    """1 goes before 5; of what has none, all are alike."""
    told: str | None = None
    """What has happened to it, where the row itself says so."""


@dataclass(frozen=True)
class Owners:
    """A timer, and who waits for it to end."""

    timer_id: str
    schedule_id: str | None
    parent_id: str | None


@dataclass(frozen=True)
class ScheduleHandover:
    """A schedule that the engine is to look at."""

    tenant: str
    schedule_id: str
    name: str
    generation: int
    traceparent: str | None


async def timer(connection: AsyncConnection, timer_id: str) -> TimerHandover | None:
    """Return the outstanding hand-over of a timer, or ``None`` when the engine knows all."""
    query = sa.select(timers.TABLE).where(timers.TABLE.c.id == timer_id, _BEHIND)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _timer(row)


async def timers_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[TimerHandover, ...]:
    """Return timers changed before ``before`` of which the engine does not know yet, most urgent first."""
    query = (
        sa.select(timers.TABLE)
        .where(_BEHIND, timers.TABLE.c.updated_at < before)
        .order_by(timers.TABLE.c.fire_at)
        .limit(limit)
    )
    return tuple(_timer(row) for row in await connection.execute(query))


async def timers_overdue(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[TimerHandover, ...]:
    """Return timers that the engine took over but that have not fired although due before ``before``.

    Usually nobody is there to fire them; but the engine may also have lost them.
    """
    table = timers.TABLE
    query = (
        sa.select(table)
        .where(
            table.c.state == TimerState.ARMED.value,
            table.c.armed_generation == table.c.generation,
            table.c.fire_at < before,
        )
        .order_by(table.c.fire_at)
        .limit(limit)
    )
    rows = (await connection.execute(query)).all()
    return tuple(replace(_timer(row), command="reschedule") for row in rows)


async def confirm_timer(connection: AsyncConnection, done: TimerHandover, now: datetime) -> None:
    """Remember that the engine knows this generation; the first one makes the timer ``armed``."""
    table = timers.TABLE
    await connection.execute(
        sa.update(table)
        .where(table.c.id == done.timer_id, table.c.armed_generation < done.generation)
        .values(armed_generation=done.generation)
    )
    armed = (
        await connection.execute(
            sa.update(table)
            .where(table.c.id == done.timer_id, table.c.state == TimerState.SCHEDULED.value)
            .values(state=TimerState.ARMED.value)
            .returning(table)
        )
    ).one_or_none()
    if armed is not None:
        await timers.append_event(connection, armed, EventType.TIMER_ARMED, now)


async def deliveries_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[DeliveryHandover, ...]:
    """Return deliveries made before ``before`` whose next attempt nobody knows of."""
    table = schema.deliveries
    query = (
        sa.select(table).where(_UNTOLD, table.c.created_at < before).order_by(table.c.created_at).limit(limit)
    )
    return tuple(_delivery(row) for row in await connection.execute(query))


async def delivery(connection: AsyncConnection, delivery_id: str) -> DeliveryHandover | None:
    """Return the outstanding hand-over of a delivery, or ``None``."""
    table = schema.deliveries
    query = sa.select(table).where(table.c.id == delivery_id, _UNTOLD)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _delivery(row)


async def deliveries_overdue(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[DeliveryHandover, ...]:
    """Return deliveries whose next attempt was due before ``before``.

    Usually nobody is there to make it; but the engine may also have lost them.
    """
    table = schema.deliveries
    query = sa.select(table).where(_PLANNED, table.c.planned_at < before)
    rows = await connection.execute(query.order_by(table.c.planned_at).limit(limit))
    return tuple(replace(_delivery(row), start=True) for row in rows)


async def confirm_delivery(connection: AsyncConnection, done: DeliveryHandover) -> None:
    """Remember that somebody knows when its next attempt is; one that was moved meanwhile is told again."""
    table = schema.deliveries
    known = (table.c.id == done.delivery_id, table.c.planned_at == done.planned_at)
    await connection.execute(sa.update(table).where(*known).values(handed_over=True))


async def replays_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[tuple[str, str], ...]:
    """Return (tenant, id) of replays made before ``before`` that nobody has started."""
    table = schema.replays
    query = (
        sa.select(table.c.tenant, table.c.id)
        .where(~table.c.handed_over, table.c.created_at < before)
        .limit(limit)
    )
    return tuple((row.tenant, row.id) for row in await connection.execute(query))


async def confirm_replay(connection: AsyncConnection, replay_id: str) -> None:
    """Remember that the replay was started."""
    table = schema.replays
    await connection.execute(sa.update(table).where(table.c.id == replay_id).values(handed_over=True))


async def timers_of(connection: AsyncConnection, owner: str, *, limit: int) -> tuple[TimerHandover, ...]:
    """Return timers of a schedule or plan of which the engine does not know yet, most urgent first."""
    table = timers.TABLE
    query = sa.select(table).where(_BEHIND, sa.or_(table.c.schedule_id == owner, table.c.parent_id == owner))
    rows = await connection.execute(query.order_by(table.c.fire_at).limit(limit))
    return tuple(_timer(row) for row in rows)


async def schedule(connection: AsyncConnection, schedule_id: str) -> ScheduleHandover | None:
    """Return the outstanding hand-over of a schedule, or ``None`` when the engine knows all."""
    table = schema.schedules
    query = sa.select(table).where(table.c.id == schedule_id, table.c.armed_generation < table.c.generation)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _schedule(row)


async def schedules_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[ScheduleHandover, ...]:
    """Return schedules changed before ``before`` of which the engine does not know yet."""
    table = schema.schedules
    query = sa.select(table).where(table.c.armed_generation < table.c.generation, table.c.updated_at < before)
    return tuple(_schedule(row) for row in await connection.execute(query.limit(limit)))


async def schedules_overdue(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[ScheduleHandover, ...]:
    """Return schedules whose newest timer was due before ``before``: nobody has made the next one.

    Usually nobody is there to make it; but the engine may also have lost the schedule.
    """
    table = schema.schedules
    query = sa.select(table).where(table.c.state == ScheduleState.ACTIVE.value, table.c.cursor < before)
    rows = await connection.execute(query.order_by(table.c.cursor).limit(limit))
    return tuple(_schedule(row) for row in rows)


async def confirm_schedule(connection: AsyncConnection, done: ScheduleHandover) -> None:
    """Remember that the engine knows this generation."""
    table = schema.schedules
    await connection.execute(
        sa.update(table)
        .where(table.c.id == done.schedule_id, table.c.armed_generation < done.generation)
        .values(armed_generation=done.generation)
    )


async def plan(connection: AsyncConnection, plan_id: str) -> LookHandover:
    """Return the hand-over of a plan that is known to exist."""
    return await _one(connection, "plan", plan_id)


async def escalation(connection: AsyncConnection, escalation_id: str) -> LookHandover:
    """Return the hand-over of an escalation that is known to exist."""
    return await _one(connection, "escalation", escalation_id)


async def ingest(connection: AsyncConnection, ingest_id: str) -> LookHandover:
    """Return the hand-over of an ingest that is known to exist."""
    return await _one(connection, "ingest", ingest_id)


async def job(connection: AsyncConnection, job_id: str) -> LookHandover:
    """Return the hand-over of a job that is known to exist."""
    return await _one(connection, "job", job_id)


async def sandbox(connection: AsyncConnection, sandbox_id: str) -> LookHandover:
    """Return the hand-over of a sandbox that is known to exist."""
    return await _one(connection, "sandbox", sandbox_id)


async def owners_of_awaiting(connection: AsyncConnection, escalation_id: str) -> Owners | None:
    """Return who waits for the timer that awaits an escalation, if it has ended."""
    table, escalations = timers.TABLE, schema.escalations
    query = sa.select(table.c.id, table.c.schedule_id, table.c.parent_id).join(
        escalations, escalations.c.timer_id == table.c.id
    )
    query = query.where(escalations.c.id == escalation_id, table.c.settled_at.is_not(None))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Owners(row.id, row.schedule_id, row.parent_id)


async def plans_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[LookHandover, ...]:
    """Return plans that were changed, or had a timer end, before ``before`` without the engine being told."""
    table, nodes = schema.plans, schema.plan_nodes
    ended = (
        sa.select(nodes.c.plan_id)
        .join(timers.TABLE, timers.TABLE.c.id == nodes.c.timer_id)
        .where(nodes.c.state == NodeState.RUNNING.value, timers.TABLE.c.settled_at < before)
    )
    changed = sa.and_(table.c.armed_generation < table.c.generation, table.c.updated_at < before)
    query = sa.select(table).where(sa.or_(changed, table.c.id.in_(ended))).limit(limit)
    return tuple(_look("plan", row) for row in await connection.execute(query))


async def escalations_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[LookHandover, ...]:
    """Return escalations changed before ``before`` of which the engine does not know yet."""
    table = schema.escalations
    query = sa.select(table).where(table.c.armed_generation < table.c.generation, table.c.updated_at < before)
    return tuple(_look("escalation", row) for row in await connection.execute(query.limit(limit)))


async def ingests_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[LookHandover, ...]:
    """Return ingests that were sent before ``before`` of which the engine does not know yet."""
    table = schema.ingests
    query = sa.select(table).where(
        table.c.state == IngestState.RUNNING.value,
        table.c.armed_generation < table.c.generation,
        table.c.updated_at < before,
    )
    return tuple(_look("ingest", row) for row in await connection.execute(query.limit(limit)))


async def jobs_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[LookHandover, ...]:
    """Return jobs accepted or cancelled before ``before`` of which the engine does not know yet."""
    table = schema.jobs
    query = sa.select(table).where(
        table.c.ended_at.is_(None),
        table.c.armed_generation < table.c.generation,
        table.c.updated_at < before,
    )
    return tuple(_look("job", row) for row in await connection.execute(query.limit(limit)))


async def sandboxes_behind(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[LookHandover, ...]:
    """Return sandboxes that were asked for or closed before ``before`` without the engine being told."""
    table = schema.sandboxes
    query = sa.select(table).where(
        table.c.ended_at.is_(None),
        table.c.armed_generation < table.c.generation,
        table.c.updated_at < before,
    )
    return tuple(_look("sandbox", row) for row in await connection.execute(query.limit(limit)))


async def looks_overdue(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> tuple[LookHandover, ...]:
    """Return what should have been looked at before ``before``.

    Running plans in which a deadline passed, or nothing runs that should; escalations and heartbeats whose
    time has come; ingests with files that wait; jobs past their deadline; sandboxes past their lifetime, or
    that should stand by now. Usually nobody is there to look; but the engine may also have lost them.
    """
    table, nodes = schema.plans, schema.plan_nodes
    mine = nodes.c.plan_id == table.c.id
    runs = sa.exists().where(mine, nodes.c.state == NodeState.RUNNING.value)
    late = sa.exists().where(mine, nodes.c.state == NodeState.RUNNING.value, nodes.c.deadline_at < before)
    plans = sa.select(table).where(
        table.c.state == PlanState.RUNNING.value, table.c.updated_at < before, sa.or_(~runs, late)
    )
    found = [_look("plan", row) for row in await connection.execute(plans.limit(limit))]
    escalations = schema.escalations
    query = sa.select(escalations).where(escalations.c.ended_at.is_(None), escalations.c.next_at < before)
    found += [_look("escalation", row) for row in await connection.execute(query.limit(limit))]
    beats = schema.heartbeats
    silent = sa.select(beats).where(beats.c.state == HeartbeatState.ALIVE.value, beats.c.silent_at < before)
    found += [
        LookHandover("heartbeat", row.tenant, row.id, row.id, 0, None)
        for row in await connection.execute(silent.limit(limit))
    ]
    ingests = schema.ingests
    waits = sa.select(ingests).where(
        ingests.c.state == IngestState.RUNNING.value, ingests.c.updated_at < before
    )
    found += [_look("ingest", row) for row in await connection.execute(waits.limit(limit))]
    jobs = schema.jobs
    overdue = sa.select(jobs).where(jobs.c.ended_at.is_(None), jobs.c.deadline_at < before)
    found += [_look("job", row) for row in await connection.execute(overdue.limit(limit))]
    boxes = schema.sandboxes
    late_opening = sa.and_(boxes.c.state == SandboxState.OPENING.value, boxes.c.open_by < before)
    unseen = sa.select(boxes).where(
        boxes.c.ended_at.is_(None), sa.or_(boxes.c.expires_at < before, late_opening)
    )
    found += [_look("sandbox", row) for row in await connection.execute(unseen.limit(limit))]
    return tuple(found)


async def confirm_look(connection: AsyncConnection, done: LookHandover) -> None:
    """Remember that the engine knows this generation."""
    table = _LOOKED_AT.get(done.kind)
    if table is not None:
        await connection.execute(
            sa.update(table)
            .where(table.c.id == done.public_id, table.c.armed_generation < done.generation)
            .values(armed_generation=done.generation)
        )


async def _one(connection: AsyncConnection, kind: str, public_id: str) -> LookHandover:
    table = _LOOKED_AT[kind]
    return _look(kind, (await connection.execute(sa.select(table).where(table.c.id == public_id))).one())


def _look(kind: str, row: sa.Row[Any]) -> LookHandover:
    if kind == "job":
        # For people: what it does and what it is called.
        name = f"{row.kind}: {row.name}"
        told = None if row.cancel_requested_at is None else "cancelled"
        return LookHandover(
            kind, row.tenant, row.id, name, row.generation, row.traceparent, row.priority, told
        )
    return LookHandover(kind, row.tenant, row.id, row.name, row.generation, row.traceparent)


def _schedule(row: sa.Row[Any]) -> ScheduleHandover:
    return ScheduleHandover(row.tenant, row.id, row.name, row.generation, row.traceparent)


def _timer(row: sa.Row[Any]) -> TimerHandover:
    return TimerHandover(
        tenant=row.tenant,
        timer_id=row.id,
        name=row.name,
        command=row.handover,
        generation=row.generation,
        fire_at=row.fire_at,
        paused=row.state == TimerState.PAUSED.value,
        known=row.armed_generation > 0,
        traceparent=row.traceparent,
    )


def _delivery(row: sa.Row[Any]) -> DeliveryHandover:
    return DeliveryHandover(row.tenant, row.id, row.planned_at, row.replay_of is not None, row.traceparent)
