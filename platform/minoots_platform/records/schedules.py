"""Schedules: keep, look up, list, and the commands that change one.

A command is one transaction: the schedule under its new generation, the timers that wait, the events, and
what the engine is still to be told. Long because the commands share how a schedule is locked, changed and
told of; making its timers is in `occurrences`, and what happens when they meet in `overlaps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    Backfill,
    Backfilled,
    EventType,
    FieldProblem,
    Page,
    Schedule,
    SchedulePatch,
    ScheduleSpec,
    ScheduleState,
    Timer,
    TimerCreate,
    TimerState,
)
from minoots.contracts.schedules import MAX_BACKFILL
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id
from minoots_platform.recurrence import occurrences

from . import commands, content_holds, events, schema, targets, tellable, timers
from .masking import masked_actions
from .occurrences import advance, event_of, insert
from .paging import newest_first

TABLE = schema.schedules
_TICK: Final = timedelta(microseconds=1)


async def accept(
    connection: AsyncConnection,
    tenant: str,
    spec: TimerCreate,
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> Timer:
    """Keep a new schedule with the timers that are due first; return the first of them.

    Raises:
        Failure: invalid, when an action names a signing secret or an agent that does not exist, or the
            rules give no time.
    """
    assert spec.schedule is not None  # noqa: S101 - the route looks
    await targets.require(connection, tenant, {"body.actions": spec.actions})
    await content_holds.require(connection, tenant, spec.actions, now)
    await tellable.require_acknowledgement(connection, tenant, spec.acknowledge, "body.acknowledge")
    rules = spec.schedule
    template = timers.template_of(spec)
    del template["misfire"]
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                **template,
                id=new_id("sch", now),
                tenant=tenant,
                state=ScheduleState.ACTIVE.value,
                generation=1,
                spec=rules.model_dump(mode="json"),
                cursor=_cursor(rules, now),
                remaining=rules.count,
                created_at=now,
                updated_at=now,
                created_by=actor,
                traceparent=traceparent,
            )
            .returning(TABLE)
        )
    ).one()
    await content_holds.hold(connection, tenant, "schedule", row.id, spec.actions)
    await events.append(connection, tenant, [event_of(row, EventType.SCHEDULE_CREATED, now, by=actor)])
    advanced = await advance(connection, tenant, row.id, now=now)
    if not advanced.made:
        raise Failure(
            FailureKind.INVALID,
            "the schedule gives no time to come",
            remedy="POST /v1/schedules/preview shows the times that it gives.",
            errors=(FieldProblem(field="body.schedule", expected="at least one time to come", got="none"),),
        )
    return await timers.get(connection, tenant, advanced.made[0])


async def get(connection: AsyncConnection, tenant: str, schedule_id: str) -> Schedule:
    """Return a schedule.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    return view(await row_of(connection, tenant, schedule_id))


@dataclass(frozen=True)
class ScheduleQuery:
    """Which schedules; the newest first."""

    states: tuple[ScheduleState, ...] = ()
    name: str | None = None
    limit: int = 50
    cursor: str | None = None


async def page(connection: AsyncConnection, tenant: str, wanted: ScheduleQuery) -> Page[Schedule]:
    """Return one page of schedules."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    if wanted.name is not None:
        query = query.where(TABLE.c.name == wanted.name)
    return await newest_first(
        connection, query, TABLE.c.created_at, "schedules", view, limit=wanted.limit, cursor=wanted.cursor
    )


async def pause(
    connection: AsyncConnection, tenant: str, schedule_id: str, *, now: datetime, actor: str
) -> Schedule:
    """Hold a schedule and the timers of it that wait.

    Raises:
        Failure: not_found; conflict, when it is not active.
    """
    row = await _locked(connection, tenant, schedule_id, "paused", ScheduleState.ACTIVE)
    changed = await _change(connection, row, now, state=ScheduleState.PAUSED.value)
    await events.append(connection, tenant, [event_of(changed, EventType.SCHEDULE_PAUSED, now, by=actor)])
    for timer in await _waiting(connection, schedule_id):
        if timer.state != TimerState.PAUSED.value:
            await _command(connection, timer, commands.Pause(), now, actor)
    return view(changed)


async def resume(
    connection: AsyncConnection, tenant: str, schedule_id: str, *, now: datetime, actor: str
) -> Schedule:
    """Let a paused schedule go on from now. Times that passed meanwhile are left out.

    Raises:
        Failure: not_found; conflict, when it is not paused.
    """
    row = await _locked(connection, tenant, schedule_id, "resumed", ScheduleState.PAUSED)
    changed = await _change(
        connection, row, now, state=ScheduleState.ACTIVE.value, cursor=max(row.cursor, now)
    )
    await events.append(connection, tenant, [event_of(changed, EventType.SCHEDULE_RESUMED, now, by=actor)])
    passed = commands.CancelIt("its time passed while the schedule was paused")
    for timer in await _waiting(connection, schedule_id):
        if timer.state != TimerState.PAUSED.value or timer.held:
            continue
        command = passed if timer.fire_at <= now else commands.Resume()
        await _command(connection, timer, command, now, actor)
    await advance(connection, tenant, schedule_id, now=now)
    return await get(connection, tenant, schedule_id)


async def cancel(
    connection: AsyncConnection,
    tenant: str,
    schedule_id: str,
    reason: str | None,
    *,
    now: datetime,
    actor: str,
) -> Schedule:
    """End a schedule for good, with the timers of it that wait. What has fired goes on.

    Raises:
        Failure: not_found; conflict, when it has ended already.
    """
    row = await _locked(
        connection, tenant, schedule_id, "cancelled", ScheduleState.ACTIVE, ScheduleState.PAUSED
    )
    changed = await _change(
        connection,
        row,
        now,
        state=ScheduleState.CANCELLED.value,
        state_reason=reason or "cancelled on request",
        next_at=None,
        ended_at=now,
    )
    cancelled = event_of(changed, EventType.SCHEDULE_CANCELLED, now, by=actor, reason=reason)
    await events.append(connection, tenant, [cancelled])
    for timer in await _waiting(connection, schedule_id, asked_for=True):
        await _command(connection, timer, commands.CancelIt("its schedule was cancelled"), now, actor)
    return view(changed)


async def update(
    connection: AsyncConnection,
    tenant: str,
    schedule_id: str,
    patch: SchedulePatch,
    *,
    now: datetime,
    actor: str,
) -> Schedule:
    """Change the rules, payload or labels; the timers that wait for the future are made anew.

    Raises:
        Failure: not_found; conflict, when it has ended.
    """
    row = await _locked(
        connection, tenant, schedule_id, "changed", ScheduleState.ACTIVE, ScheduleState.PAUSED
    )
    values: dict[str, Any] = {}
    if "payload" in patch.model_fields_set:
        values["payload"] = patch.payload
    if patch.labels is not None:
        values["labels"] = dict(patch.labels)
    anew = [timer for timer in await _waiting(connection, schedule_id) if timer.nominal_at > now]
    if patch.schedule is not None:
        values["spec"] = patch.schedule.model_dump(mode="json")
        values["remaining"] = patch.schedule.count
        values["cursor"] = _cursor(patch.schedule, now)
    else:
        values["cursor"] = now
        values["remaining"] = None if row.remaining is None else row.remaining + len(anew)
    changed = await _change(connection, row, now, **values)
    names = sorted(patch.model_fields_set)
    updated = event_of(changed, EventType.SCHEDULE_UPDATED, now, by=actor, changed=names)
    await events.append(connection, tenant, [updated])
    for timer in anew:
        await _command(connection, timer, commands.CancelIt("its schedule was changed"), now, actor)
    await advance(connection, tenant, schedule_id, now=now)
    return await get(connection, tenant, schedule_id)


async def trigger(
    connection: AsyncConnection, tenant: str, schedule_id: str, *, now: datetime, actor: str
) -> Timer:
    """Make an occurrence that is due now, whatever the rules say; the overlap policy holds.

    Raises:
        Failure: not_found; conflict, when the schedule has ended.
    """
    row = await _locked(
        connection, tenant, schedule_id, "triggered", ScheduleState.ACTIVE, ScheduleState.PAUSED
    )
    [timer] = await _extra(connection, row, [now], now, "triggered", None)
    told = event_of(row, EventType.SCHEDULE_TRIGGERED, now, by=actor, timer_id=timer.id)
    scheduled = timers.event_of(timer, EventType.TIMER_SCHEDULED, now, by=actor)
    await events.append(connection, tenant, [told, scheduled])
    return timers.view(timer)


async def backfill(
    connection: AsyncConnection,
    tenant: str,
    schedule_id: str,
    wanted: Backfill,
    *,
    now: datetime,
    actor: str,
) -> Backfilled:
    """Make occurrences, due now, for the times that the rules give in a range of the past.

    Raises:
        Failure: not_found; conflict, when the schedule was cancelled; invalid, when the range reaches into
            the future or holds more than 1,000 times.
    """
    if wanted.until > now:
        raise _range("a range of the past", wanted.until.isoformat(), "body.until")
    row = await _locked(
        connection,
        tenant,
        schedule_id,
        "backfilled",
        ScheduleState.ACTIVE,
        ScheduleState.PAUSED,
        ScheduleState.ENDED,
    )
    spec = ScheduleSpec.model_validate(row.spec)
    times: list[datetime] = []
    for found in occurrences(spec, wanted.since - _TICK, row.created_at):
        if found.at >= wanted.until:
            break
        if len(times) == MAX_BACKFILL:
            raise _range(f"a range of at most {MAX_BACKFILL} times", "more", "body.since")
        times.append(found.at)
    made = await _extra(connection, row, times, now, "backfilled", wanted.overlap.value)
    told = [
        event_of(
            row,
            EventType.SCHEDULE_BACKFILLED,
            now,
            by=actor,
            since=wanted.since.isoformat(),
            until=wanted.until.isoformat(),
            timers=len(made),
        ),
        *(timers.event_of(timer, EventType.TIMER_SCHEDULED, now, by=actor) for timer in made),
    ]
    await events.append(connection, tenant, told)
    return Backfilled(schedule_id=schedule_id, timers=tuple(timer.id for timer in made))


async def row_of(
    connection: AsyncConnection, tenant: str, schedule_id: str, *, for_update: bool = False
) -> sa.Row[Any]:
    """Return the row of a schedule, locked where asked.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == schedule_id)
    row = (await connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no schedule {schedule_id[:60]}",
            remedy="GET /v1/schedules lists the schedules of this key's tenant.",
        )
    return row


def view(row: sa.Row[Any]) -> Schedule:
    """Return a row as the wire shows it."""
    return Schedule(
        id=row.id,
        name=row.name,
        state=row.state,
        state_reason=row.state_reason,
        generation=row.generation,
        schedule=row.spec,
        payload=row.payload,
        actions=masked_actions(row.actions),
        retry=row.retry,
        labels=row.labels,
        metadata=row.meta,
        occurrences=row.occurrences,
        missed=row.missed,
        left=row.remaining,
        next_at=row.next_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
        created_by=row.created_by,
    )


async def _locked(
    connection: AsyncConnection, tenant: str, schedule_id: str, verb: str, *allowed: ScheduleState
) -> sa.Row[Any]:
    row = await row_of(connection, tenant, schedule_id, for_update=True)
    if row.state not in allowed:
        because = f": {row.state_reason}" if row.state_reason else ""
        raise Failure(
            FailureKind.CONFLICT,
            f"schedule {schedule_id} is {row.state}{because}; it cannot be {verb}",
            remedy="GET /v1/schedules/{id} shows how it stands; a new one is set with POST /v1/timers.",
        )
    return row


async def _change(connection: AsyncConnection, row: sa.Row[Any], now: datetime, **values: Any) -> sa.Row[Any]:
    moved = sa.update(TABLE).where(TABLE.c.id == row.id)
    moved = moved.values(generation=row.generation + 1, updated_at=now, **values)
    changed: sa.Row[Any] = (await connection.execute(moved.returning(TABLE))).one()
    return changed


async def _waiting(
    connection: AsyncConnection, schedule_id: str, *, asked_for: bool = False
) -> Sequence[sa.Row[Any]]:
    """Return the occurrences that have not fired yet: those of the rules, and those that were asked for."""
    table = timers.TABLE
    query = sa.select(table).where(
        table.c.schedule_id == schedule_id,
        table.c.settled_at.is_(None),
        table.c.state != TimerState.FIRED.value,
    )
    if not asked_for:
        query = query.where(table.c.kind == "scheduled")
    return (await connection.execute(query.order_by(table.c.number.desc()))).all()


async def _command(
    connection: AsyncConnection, timer: sa.Row[Any], command: commands.Command, now: datetime, actor: str
) -> None:
    await commands.change(
        connection, timer.tenant, timer.id, command, now=now, actor=actor, if_generation=None
    )


async def _extra(
    connection: AsyncConnection,
    row: sa.Row[Any],
    times: Sequence[datetime],
    now: datetime,
    kind: str,
    overlap: str | None,
) -> list[sa.Row[Any]]:
    spec = ScheduleSpec.model_validate(row.spec)
    made = [
        await insert(
            connection,
            row,
            spec,
            nominal,
            now,
            number=number,
            kind=kind,
            fire_at=now,
            overlap=overlap,
        )
        for number, nominal in enumerate(times, row.occurrences + 1)
    ]
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.id == row.id).values(occurrences=row.occurrences + len(made))
    )
    return made


def _cursor(spec: ScheduleSpec, now: datetime) -> datetime:
    """Return the moment after which the first time may be: a start counts, the present does not."""
    return now if spec.start is None else max(now, spec.start - _TICK)


def _range(expected: str, got: str, field: str) -> Failure:
    return Failure(
        FailureKind.INVALID,
        f"this cannot be backfilled: expected {expected}",
        remedy="Give a smaller range, or several one after the other.",
        errors=(FieldProblem(field=field, expected=expected, got=got),),
    )
