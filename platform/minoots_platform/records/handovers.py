"""What the engine has not been told yet of timers, schedules, deliveries and replays.

Read by the gateway right after a command, and by the reconciler. Whatever is only to be looked at as it
stands (plans, escalations, jobs and so on) is in `looks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, ScheduleState, TimerState

from . import schema, timers

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
