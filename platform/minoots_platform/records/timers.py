"""Timers in the records: accept, look up, list, and the commands that change one.

Every command is one transaction: the row under its new generation, the event, and what the engine is still to
be told. The row decides every race: a command holds only while the timer has not fired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    EventType,
    NodeTimer,
    Occurrence,
    Page,
    PlanNodeRef,
    Timer,
    TimerCreate,
    TimerState,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import content_holds, cursors, events, schema, targets, tellable
from .masking import masked_actions

TABLE = schema.timers


async def accept(
    connection: AsyncConnection,
    tenant: str,
    spec: TimerCreate,
    *,
    fire_at: datetime,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> Timer:
    """Keep a new timer, to be handed to the engine.

    Raises:
        Failure: invalid, when an action names a signing secret or an agent that does not exist.
    """
    await targets.require(connection, tenant, {"body.actions": spec.actions})
    await content_holds.require(connection, tenant, spec.actions, now)
    await tellable.require_acknowledgement(connection, tenant, spec.acknowledge, "body.acknowledge")
    row = await insert(
        connection,
        tenant,
        template_of(spec),
        fire_at=fire_at,
        now=now,
        actor=actor,
        traceparent=traceparent,
    )
    await append_event(connection, row, EventType.TIMER_SCHEDULED, now, by=actor)
    return view(row)


def template_of(spec: TimerCreate | NodeTimer) -> dict[str, Any]:
    """Return the columns of a timer that say what it does, without when."""
    kept = {"name", "payload", "actions", "retry", "misfire", "labels", "metadata", "acknowledge"}
    wire = spec.model_dump(mode="json", include=kept)
    return {"meta": wire.pop("metadata"), **wire}


async def insert(
    connection: AsyncConnection,
    tenant: str,
    template: Mapping[str, Any],
    *,
    fire_at: datetime,
    now: datetime,
    actor: str,
    traceparent: str | None,
    **belongs: Any,
) -> sa.Row[Any]:
    """Insert a timer to be handed to the engine, and return its row. The event is left to the caller.

    ``belongs`` says which occurrence of a schedule, or which part of a parent, it is.
    """
    values = {
        **template,
        **belongs,
        "id": new_id("tmr", now),
        "tenant": tenant,
        "state": TimerState.SCHEDULED.value,
        "generation": 1,
        "armed_generation": 0,
        "handover": "start",
        "fire_at": fire_at,
        "created_at": now,
        "updated_at": now,
        "created_by": actor,
        "traceparent": traceparent,
    }
    row: sa.Row[Any] = (await connection.execute(sa.insert(TABLE).values(values).returning(TABLE))).one()
    await keep_labels(connection, tenant, row.id, row.labels)
    await content_holds.hold(connection, tenant, "timer", row.id, row.actions)
    return row


async def get(connection: AsyncConnection, tenant: str, timer_id: str) -> Timer:
    """Return a timer.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    return view(await row_of(connection, tenant, timer_id))


@dataclass(frozen=True)
class TimerQuery:
    """Which timers, in which order. ``sort`` is ``due``, ``-due``, ``created`` or ``-created``."""

    states: tuple[TimerState, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    name: str | None = None
    schedule_id: str | None = None
    plan_id: str | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    sort: str = "-created"
    limit: int = 50
    cursor: str | None = None


async def page(connection: AsyncConnection, tenant: str, wanted: TimerQuery) -> Page[Timer]:
    """Return one page of timers.

    ``due_after`` is inclusive, ``due_before`` is not. Pages continue behind the last row's sort key, so rows
    that come, go or change in front of it neither repeat nor hide another.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    if wanted.name is not None:
        query = query.where(TABLE.c.name == wanted.name)
    if wanted.schedule_id is not None:
        query = query.where(TABLE.c.schedule_id == wanted.schedule_id)
    if wanted.plan_id is not None:
        query = query.where(TABLE.c.parent_id == wanted.plan_id)
    if wanted.due_after is not None:
        query = query.where(TABLE.c.fire_at >= wanted.due_after)
    if wanted.due_before is not None:
        query = query.where(TABLE.c.fire_at < wanted.due_before)
    labels = schema.timer_labels
    for key, value in wanted.labels:
        query = query.where(
            sa.exists().where(
                labels.c.timer_id == TABLE.c.id,
                labels.c.tenant == tenant,
                labels.c.key == key,
                labels.c.value == value,
            )
        )
    descending = wanted.sort.startswith("-")
    key_column: sa.Column[datetime] = TABLE.c.fire_at if wanted.sort.endswith("due") else TABLE.c.created_at
    if wanted.cursor is not None:
        moment, row_id = cursors.decode(wanted.cursor, wanted.sort)
        place = sa.tuple_(sa.literal(moment, schema.Moment), sa.literal(row_id))
        here = sa.tuple_(key_column, TABLE.c.id)
        query = query.where(here < place if descending else here > place)
    order = (key_column.desc(), TABLE.c.id.desc()) if descending else (key_column, TABLE.c.id)
    rows = (await connection.execute(query.order_by(*order).limit(wanted.limit + 1))).all()
    items = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    last = items[-1] if more else None
    cursor = cursors.encode(wanted.sort, last._mapping[key_column], last.id) if last is not None else None
    return Page[Timer](items=tuple(view(row) for row in items), next_cursor=cursor)


async def row_of(
    connection: AsyncConnection, tenant: str, timer_id: str, *, for_update: bool = False
) -> sa.Row[Any]:
    """Return the row of a timer, locked where asked (SQLite's writing transactions are locked already).

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == timer_id)
    if for_update:
        # key_share: a plain lock would also hold up whoever inserts a row that refers to this timer, and a
        # replay that does so while it holds a delivery would wait in a circle with a cancel.
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no timer {timer_id[:60]}",
            remedy="GET /v1/timers lists the timers of this key's tenant.",
        )
    return row


async def keep_labels(
    connection: AsyncConnection, tenant: str, timer_id: str, labels: dict[str, str]
) -> None:
    """Replace the searchable labels of a timer."""
    table = schema.timer_labels
    await connection.execute(sa.delete(table).where(table.c.timer_id == timer_id))
    if labels:
        await connection.execute(
            sa.insert(table),
            [
                {"timer_id": timer_id, "tenant": tenant, "key": key, "value": value}
                for key, value in labels.items()
            ],
        )


async def append_event(
    connection: AsyncConnection, row: sa.Row[Any], kind: EventType, now: datetime, **data: Any
) -> None:
    """Append one event about a timer; call it last in the transaction."""
    await events.append(connection, row.tenant, [event_of(row, kind, now, **data)])


def event_of(row: sa.Row[Any], kind: EventType, now: datetime, **data: Any) -> events.NewEvent:
    """Return an event about a timer, with what every such event tells."""
    common = {"name": row.name, "generation": row.generation, "fire_at": row.fire_at.isoformat()}
    return events.NewEvent(
        type=kind,
        subject=row.id,
        time=now,
        data=common | {key: value for key, value in data.items() if value is not None},
        labels=row.labels,
        traceparent=row.traceparent,
    )


def occurrence_of(row: sa.Row[Any]) -> Occurrence | None:
    """Return which occurrence of a schedule a timer is, if it is one."""
    if row.schedule_id is None:
        return None
    return Occurrence(
        schedule_id=row.schedule_id, number=row.number, nominal_at=row.nominal_at, kind=row.kind
    )


def node_of(row: sa.Row[Any]) -> PlanNodeRef | None:
    """Return which node of a plan a timer is, if it is one."""
    if row.parent_id is None or not row.parent_id.startswith("pln_"):
        return None
    return PlanNodeRef(plan_id=row.parent_id, node=row.part)


def view(row: sa.Row[Any]) -> Timer:
    """Return a row as the wire shows it."""
    lateness = (row.fired_at - row.fire_at).total_seconds() * 1000 if row.fired_at else None
    return Timer.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "state": row.state,
            "state_reason": row.state_reason,
            "generation": row.generation,
            "fire_at": row.fire_at,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "fired_at": row.fired_at,
            "settled_at": row.settled_at,
            "lateness_ms": None if lateness is None else round(lateness, 3),
            "payload": row.payload,
            "actions": masked_actions(row.actions),
            "retry": row.retry,
            "misfire": row.misfire,
            "labels": row.labels,
            "metadata": row.meta,
            "created_by": row.created_by,
            "closed_by": row.closed_by,
            "occurrence": occurrence_of(row),
            "plan": node_of(row),
            "acknowledge": row.acknowledge,
            "escalation_id": row.escalation_id,
        }
    )
