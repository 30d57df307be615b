"""Occurrences that meet: one comes while an earlier one of its schedule is still being delivered.

Decided in the transaction that claims a timer for sending, under the lock of the schedule's row. That row is
always locked before any of its timers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, Overlap, ScheduleSpec, TimerState
from minoots_platform.recurrence import occurrences

from . import events, schema, timers
from .occurrences import is_missed

_SCHEDULES = schema.schedules


@dataclass(frozen=True)
class Verdict:
    """What becomes of an occurrence whose time has come: it goes, is held, or is skipped for a reason."""

    skip: str | None = None
    hold: str | None = None
    cancel: tuple[str, ...] = ()
    """Earlier timers to be called off first."""


async def lock(connection: AsyncConnection, schedule_id: str | None) -> None:
    """Lock the schedule of a timer that is about to be locked itself."""
    if schedule_id is not None:
        await _lock(connection, {schedule_id})


async def lock_of_timers(connection: AsyncConnection, timer_ids: Collection[str]) -> None:
    """Lock the schedules and escalations of timers that are about to be locked themselves."""
    table, escalations = timers.TABLE, schema.escalations
    query = sa.select(table.c.schedule_id, table.c.escalation_id).where(table.c.id.in_(sorted(timer_ids)))
    found = (await connection.execute(query)).all()
    await _lock(connection, {row.schedule_id for row in found if row.schedule_id is not None})
    awaited = sorted({row.escalation_id for row in found if row.escalation_id is not None})
    if awaited:
        query = sa.select(escalations.c.id).where(escalations.c.id.in_(awaited))
        await connection.execute(query.order_by(escalations.c.id).with_for_update())


async def judge(connection: AsyncConnection, row: sa.Row[Any], now: datetime) -> Verdict:
    """Tell what becomes of an occurrence that is about to be sent. Its schedule is locked already."""
    found = await connection.execute(sa.select(_SCHEDULES).where(_SCHEDULES.c.id == row.schedule_id))
    schedule = found.one()
    spec = ScheduleSpec.model_validate(schedule.spec)
    if row.kind == "scheduled" and not row.excused:
        following = await _following(connection, schedule, spec, row)
        if is_missed(spec.catch_up, row.fire_at, following, now):
            late = (now - row.fire_at).total_seconds()
            return Verdict(skip=f"missed by {late:.1f} s; its schedule catches up: {spec.catch_up.policy}")
    return await _overlap(connection, row)


async def _following(
    connection: AsyncConnection, schedule: sa.Row[Any], spec: ScheduleSpec, row: sa.Row[Any]
) -> datetime | None:
    """Return the time after an occurrence: of the next one, or else what the rules have left to give."""
    table = timers.TABLE
    made: datetime | None = await connection.scalar(
        sa.select(sa.func.min(table.c.nominal_at, type_=schema.Moment)).where(
            table.c.schedule_id == row.schedule_id,
            table.c.kind == "scheduled",
            table.c.nominal_at > row.nominal_at,
        )
    )
    if made is not None or schedule.remaining == 0:
        return made
    return next((one.at for one in occurrences(spec, row.nominal_at, schedule.created_at)), None)


async def _overlap(connection: AsyncConnection, row: sa.Row[Any]) -> Verdict:
    overlap = Overlap(row.overlap)
    if overlap is Overlap.ALLOW:
        return Verdict()
    table = timers.TABLE
    others = (
        await connection.execute(
            sa.select(table.c.id, table.c.number, table.c.state, table.c.held, table.c.fire_at).where(
                table.c.schedule_id == row.schedule_id, table.c.settled_at.is_(None), table.c.id != row.id
            )
        )
    ).all()
    running = sorted(other.id for other in others if other.state == TimerState.FIRED.value)
    # Those that came before this one go first: they are held, or were released and are about to be sent.
    waiting = sorted(
        other.id
        for other in others
        if other.number < row.number
        and (other.held or (other.state == TimerState.ARMED.value and other.fire_at <= row.fire_at))
    )
    if not running and not (waiting and overlap in (Overlap.BUFFER_ONE, Overlap.BUFFER_ALL)):
        return Verdict()
    because = f"{(running or waiting)[0]} of the same schedule is not finished (overlap {overlap})"
    match overlap:
        case Overlap.SKIP:
            return Verdict(skip=because)
        case Overlap.CANCEL_OTHER:
            return Verdict(cancel=tuple(running))
        case Overlap.BUFFER_ONE if any(other.held for other in others):
            return Verdict(skip=f"{because}, and one waits already")
        case _:
            return Verdict(hold=because)


async def hold(connection: AsyncConnection, row: sa.Row[Any], because: str, now: datetime) -> sa.Row[Any]:
    """Let an occurrence wait for the one before it; return its row, which the engine is told of by report."""
    held: sa.Row[Any] = (
        await connection.execute(
            sa.update(timers.TABLE)
            .where(timers.TABLE.c.id == row.id)
            .values(
                state=TimerState.PAUSED.value,
                state_reason=because,
                held=True,
                excused=True,
                generation=row.generation + 1,
                armed_generation=row.generation + 1,
                handover="pause",
                updated_at=now,
            )
            .returning(timers.TABLE)
        )
    ).one()
    await timers.append_event(connection, held, EventType.TIMER_HELD, now, reason=because)
    return held


async def release(
    connection: AsyncConnection, schedule_id: str | None, now: datetime
) -> list[events.NewEvent]:
    """Let the first occurrence go that waits, if nothing of its schedule is under way; return its event.

    Called whenever an occurrence is finished, in the same transaction.
    """
    if schedule_id is None:
        return []
    table = timers.TABLE
    mine = (table.c.schedule_id == schedule_id, table.c.settled_at.is_(None))
    running = sa.select(table.c.id).where(*mine, table.c.state == TimerState.FIRED.value).limit(1)
    if (await connection.execute(running)).one_or_none() is not None:
        return []
    query = sa.select(table).where(*mine, table.c.held).order_by(table.c.number).limit(1).with_for_update()
    first = (await connection.execute(query)).one_or_none()
    if first is None:
        return []
    freed = (
        await connection.execute(
            sa.update(table)
            .where(table.c.id == first.id)
            .values(
                state=TimerState.ARMED.value,
                state_reason=None,
                held=False,
                generation=first.generation + 1,
                handover="resume",
                updated_at=now,
            )
            .returning(table)
        )
    ).one()
    return [timers.event_of(freed, EventType.TIMER_RELEASED, now)]


async def _lock(connection: AsyncConnection, schedule_ids: set[str]) -> None:
    if schedule_ids:
        await connection.execute(
            sa.select(_SCHEDULES.c.id)
            .where(_SCHEDULES.c.id.in_(sorted(schedule_ids)))
            .order_by(_SCHEDULES.c.id)
            .with_for_update()
        )
