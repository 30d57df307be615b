"""The nodes of a plan: the commands that concern single ones, and the timers that they have.

Locks are taken in one order: the plan, its timers by id, the tenant's newest event last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, NodeMove, NodeState
from minoots.errors import Failure, FailureKind

from . import children, commands, events, schema

TABLE = schema.plan_nodes


async def move(
    connection: AsyncConnection, plan: sa.Row[Any], moves: Iterable[NodeMove], now: datetime, actor: str
) -> list[events.NewEvent]:
    """Give nodes another time; return the events.

    Raises:
        Failure: conflict, for a node whose timer has fired or that has ended.
    """
    wanted = {one.id: one for one in moves}
    told: list[events.NewEvent] = []
    rows = await _rows(connection, plan.id, wanted)
    locked = {timer.id: timer for timer in await children.lock(connection, plan.id, among=wanted)}
    for row in rows:
        state, new = NodeState(row.state), wanted[row.id]
        if state.final:
            raise _too_far(row, f"is {state}")
        wire = new.model_dump(mode="json", include={"delay", "at"})
        values: dict[str, Any] = {"spec": row.spec | wire}
        if state is NodeState.RUNNING:
            due_at = due(new.delay, new.at, row.ready_at)
            _, more = await commands.carry_out(
                connection, locked[row.timer_id], commands.Reschedule(fire_at=due_at), now=now, actor=actor
            )
            told += more
        await connection.execute(sa.update(TABLE).where(*same(row)).values(**values))
    return told


async def cancel_some(
    connection: AsyncConnection, plan: sa.Row[Any], ids: Collection[str], now: datetime, actor: str
) -> list[events.NewEvent]:
    """Call nodes off; return the events.

    Raises:
        Failure: conflict, for a node that has ended or is being sent this moment.
    """
    told: list[events.NewEvent] = []
    rows = await _rows(connection, plan.id, ids)
    for row in rows:
        if NodeState(row.state).final:
            raise _too_far(row, f"is {row.state}")
    for timer in await children.lock(connection, plan.id, among=ids):
        command = commands.CancelIt("its node was cancelled")
        told += (await commands.carry_out(connection, timer, command, now=now, actor=actor))[1]
    for row in rows:
        told.append(await _call_off(connection, plan, row, f"cancelled by {actor}", now))
    return told


async def cancel_all(
    connection: AsyncConnection, plan: sa.Row[Any], reason: str, now: datetime, actor: str
) -> list[events.NewEvent]:
    """Call off every node that has not ended; one that is being sent this moment ends by itself."""
    told: list[events.NewEvent] = []
    sending: set[str] = set()
    for timer in await children.lock(connection, plan.id):
        try:
            _, more = await commands.carry_out(
                connection, timer, commands.CancelIt(reason), now=now, actor=actor
            )
        except Failure:
            sending.add(timer.id)
        else:
            told += more
    query = sa.select(TABLE).where(TABLE.c.plan_id == plan.id, TABLE.c.ended_at.is_(None))
    for row in (await connection.execute(query.order_by(TABLE.c.position))).all():
        if row.timer_id not in sending:
            told.append(await _call_off(connection, plan, row, reason, now))
    return told


async def put_off_deadlines(connection: AsyncConnection, plan_id: str, by: timedelta) -> None:
    """Move the deadlines of nodes that run."""
    query = sa.select(TABLE).where(TABLE.c.plan_id == plan_id, TABLE.c.state == NodeState.RUNNING.value)
    for row in (await connection.execute(query.where(TABLE.c.deadline_at.is_not(None)))).all():
        later = row.deadline_at + by
        await connection.execute(sa.update(TABLE).where(*same(row)).values(deadline_at=later))


def event_of(plan: sa.Row[Any], kind: EventType, now: datetime, **data: Any) -> events.NewEvent:
    """Return an event about a plan, with what every such event tells."""
    return events.NewEvent(
        type=kind,
        subject=plan.id,
        time=now,
        data={"name": plan.name, "generation": plan.generation}
        | {key: value for key, value in data.items() if value is not None},
        labels=plan.labels,
        traceparent=plan.traceparent,
    )


async def _call_off(
    connection: AsyncConnection, plan: sa.Row[Any], row: sa.Row[Any], reason: str, now: datetime
) -> events.NewEvent:
    values = {"state": NodeState.CANCELLED.value, "state_reason": reason, "ended_at": now}
    await connection.execute(sa.update(TABLE).where(*same(row)).values(**values))
    told = {"node": row.id, "timer_id": row.timer_id, "reason": reason}
    return event_of(plan, EventType.NODE_CANCELLED, now, **told)


async def _rows(connection: AsyncConnection, plan_id: str, ids: Iterable[str]) -> Sequence[sa.Row[Any]]:
    query = sa.select(TABLE).where(TABLE.c.plan_id == plan_id, TABLE.c.id.in_(sorted(ids)))
    return (await connection.execute(query.order_by(TABLE.c.position))).all()


def same(row: sa.Row[Any]) -> tuple[sa.ColumnElement[bool], ...]:
    """Return what finds the row of a node again."""
    return (TABLE.c.plan_id == row.plan_id, TABLE.c.id == row.id)


def due(delay: timedelta | None, at: datetime | None, ready_at: datetime) -> datetime:
    """Return when the timer of a node is due that could begin at ``ready_at``."""
    if at is not None:
        return max(at, ready_at)
    return ready_at + (delay or timedelta(0))


def _too_far(row: sa.Row[Any], how: str) -> Failure:
    return Failure(
        FailureKind.CONFLICT,
        f"node {row.id} {how}; it can no longer be changed",
        remedy="GET /v1/plans/{id} shows how the nodes stand.",
    )
