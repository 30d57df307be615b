"""Making the timers of a schedule: each time of its rules once, whoever asks and how often.

The schedule's row is locked and its cursor moved in the transaction that inserts the timers, so that two
workers, or one that died and one that took over, never make an occurrence twice and never lose one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import CatchUp, EventType, ScheduleSpec, ScheduleState
from minoots_platform.recurrence import occurrences

from . import events, schema, timers

TABLE = schema.schedules

AHEAD: Final = timedelta(seconds=20)
"""Timers are made this long before they are due, so that they can be armed and wake in time."""

LOW: Final = timedelta(seconds=10)
"""Of frequent ones, more are made when those that are left last no longer than this."""

LATE: Final = timedelta(seconds=10)
"""An occurrence that could not fire within this was missed, and the catch-up policy decides."""

_TEMPLATE: Final = ("name", "payload", "actions", "retry", "labels", "meta", "acknowledge")

_BATCH: Final = 100
"""Timers per transaction: few enough to hold the locks for milliseconds."""

_LOOKED_AT: Final = 2000
"""Times of the rules per transaction: what was missed in a long outage is walked through in steps."""


@dataclass(frozen=True)
class Advanced:
    """How a schedule stands after its next timers were made."""

    state: ScheduleState
    generation: int
    made: tuple[str, ...] = ()
    wake_at: datetime | None = None
    """When to advance again; ``None`` when only a change can bring more."""


@dataclass
class _Walk:
    """One walk along the times of the rules, from the cursor on."""

    cursor: datetime
    left: int | None
    due: list[datetime] = field(default_factory=list)
    missed: list[datetime] = field(default_factory=list)
    next_at: datetime | None = None
    more: bool = False


async def advance(connection: AsyncConnection, tenant: str, schedule_id: str, *, now: datetime) -> Advanced:
    """Make the timers that are due soon, at least one of the future; end the schedule after its last."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == schedule_id).with_for_update()
    row = (await connection.execute(query)).one()
    state = ScheduleState(row.state)
    if state is not ScheduleState.ACTIVE:
        return Advanced(state, row.generation)
    spec = ScheduleSpec.model_validate(row.spec)
    walk = _walk(spec, row, now)
    told: list[events.NewEvent] = []
    made: list[str] = []
    for offset, nominal in enumerate(walk.due, row.occurrences + 1):
        timer = await insert(connection, row, spec, nominal, now, number=offset, kind="scheduled")
        told.append(timers.event_of(timer, EventType.TIMER_SCHEDULED, now, by=row.created_by))
        made.append(timer.id)
    if walk.missed:
        told.append(_missed(row, spec, walk, now))
    over = walk.next_at is None and not walk.more and walk.cursor <= now
    values: dict[str, Any] = {
        "cursor": walk.cursor,
        "next_at": walk.next_at,
        "remaining": walk.left,
        "occurrences": row.occurrences + len(made),
        "missed": row.missed + len(walk.missed),
    }
    if over:
        state = ScheduleState.ENDED
        reason = "its count is reached" if walk.left == 0 else "its rules give no more times"
        values |= {"state": state.value, "state_reason": reason, "ended_at": now, "updated_at": now}
        told.append(event_of(row, EventType.SCHEDULE_ENDED, now, reason=reason))
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == schedule_id).values(**values))
    if told:
        await events.append(connection, tenant, told)
    return Advanced(state, row.generation, tuple(made), None if over else _wake_at(walk, now))


async def insert(
    connection: AsyncConnection,
    schedule: sa.Row[Any],
    spec: ScheduleSpec,
    nominal: datetime,
    now: datetime,
    *,
    number: int,
    kind: str,
    fire_at: datetime | None = None,
    overlap: str | None = None,
) -> sa.Row[Any]:
    """Insert the timer of one occurrence."""
    template = {name: getattr(schedule, name) for name in _TEMPLATE}
    return await timers.insert(
        connection,
        schedule.tenant,
        template | {"misfire": {"policy": "fire"}},
        fire_at=fire_at or nominal + _jitter(spec, schedule.id, nominal),
        now=now,
        actor=schedule.created_by,
        traceparent=schedule.traceparent,
        schedule_id=schedule.id,
        number=number,
        nominal_at=nominal,
        kind=kind,
        overlap=overlap or spec.overlap.value,
    )


def is_missed(catch_up: CatchUp, nominal: datetime, following: datetime | None, now: datetime) -> bool:
    """Tell whether an occurrence that comes late is left out. ``following`` is the time after it."""
    late = now - nominal
    if late <= LATE:
        return False
    if catch_up.policy == "none" or (catch_up.younger_than is not None and late > catch_up.younger_than):
        return True
    return catch_up.policy == "last" and following is not None and following <= now


def event_of(row: sa.Row[Any], kind: EventType, now: datetime, **data: Any) -> events.NewEvent:
    """Return an event about a schedule, with what every such event tells."""
    return events.NewEvent(
        type=kind,
        subject=row.id,
        time=now,
        data={"name": row.name, "generation": row.generation}
        | {key: value for key, value in data.items() if value is not None},
        labels=row.labels,
        traceparent=row.traceparent,
    )


def _walk(spec: ScheduleSpec, row: sa.Row[Any], now: datetime) -> _Walk:
    walk = _Walk(row.cursor, row.remaining)
    times = (found.at for found in occurrences(spec, row.cursor, row.created_at))
    following = next(times, None) if walk.left != 0 else None
    looked_at = 0
    while following is not None and walk.left != 0:
        ahead = walk.cursor > now and following > now + AHEAD
        walk.more = not ahead and (len(walk.due) >= _BATCH or looked_at >= _LOOKED_AT)
        if ahead or walk.more:
            break
        nominal, following, looked_at = following, next(times, None), looked_at + 1
        missed = is_missed(spec.catch_up, nominal, following, now)
        (walk.missed if missed else walk.due).append(nominal)
        walk.cursor = nominal
        if walk.left is not None:
            walk.left -= 1
    walk.next_at = following if walk.left != 0 else None
    return walk


def _wake_at(walk: _Walk, now: datetime) -> datetime:
    if walk.more:
        return now
    if walk.next_at is None:
        return walk.cursor
    return min(walk.cursor, max(walk.next_at - AHEAD, walk.cursor - LOW))


def _missed(row: sa.Row[Any], spec: ScheduleSpec, walk: _Walk, now: datetime) -> events.NewEvent:
    return event_of(
        row,
        EventType.SCHEDULE_MISSED,
        now,
        times=len(walk.missed),
        first=walk.missed[0].isoformat(),
        last=walk.missed[-1].isoformat(),
        policy=spec.catch_up.policy,
    )


def _jitter(spec: ScheduleSpec, schedule_id: str, nominal: datetime) -> timedelta:
    """Return by how much an occurrence is put off: the same however often it is asked."""
    if not spec.jitter:
        return timedelta(0)
    digest = hashlib.sha256(f"{schedule_id} {nominal.isoformat()}".encode()).digest()
    return spec.jitter * (int.from_bytes(digest[:8]) / 2**64)
