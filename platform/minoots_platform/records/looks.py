"""What the engine is to look at, as it stands: plans, escalations, heartbeats, ingests, jobs and sandboxes.

Owns which of them the engine has not been told of, and which it should have looked at long ago. What they are
and what a look does is their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import HeartbeatState, IngestState, NodeState, PlanState, SandboxState

from . import schema, timers

Kind = Literal["plan", "escalation", "ingest", "job", "sandbox"]
"""What has generations, so that it is known which one the engine was told of."""

_TABLES: Final[Mapping[str, sa.Table]] = MappingProxyType(
    {
        "plan": schema.plans,
        "escalation": schema.escalations,
        "ingest": schema.ingests,
        "job": schema.jobs,
        "sandbox": schema.sandboxes,
    }
)
# Beside those of which any may be behind. What has ended is told to nobody any more.
_OPEN: Final[Mapping[str, sa.ColumnElement[bool]]] = MappingProxyType(
    {
        "ingest": schema.ingests.c.state == IngestState.RUNNING.value,
        "job": schema.jobs.c.ended_at.is_(None),
        "sandbox": schema.sandboxes.c.ended_at.is_(None),
    }
)


@dataclass(frozen=True)
class Look:
    """What the engine is to look at.

    Attributes:
        kind: one of `Kind`, or ``heartbeat``, which has no generations.
        priority: 1 goes before 5; of what has none, all are alike.
        told: what has happened to it, where the row itself says so.
    """

    kind: str
    tenant: str
    public_id: str
    name: str
    generation: int
    traceparent: str | None
    priority: int | None = None
    told: str | None = None


@dataclass(frozen=True)
class Owners:
    """A timer, and who waits for it to end."""

    timer_id: str
    schedule_id: str | None
    parent_id: str | None


async def one(connection: AsyncConnection, kind: Kind, public_id: str) -> Look:
    """Return the look at one that is known to exist."""
    table = _TABLES[kind]
    return _look(kind, (await connection.execute(sa.select(table).where(table.c.id == public_id))).one())


async def owners_of_awaiting(connection: AsyncConnection, escalation_id: str) -> Owners | None:
    """Return who waits for the timer that awaits an escalation, if it has ended."""
    table, escalations = timers.TABLE, schema.escalations
    query = sa.select(table.c.id, table.c.schedule_id, table.c.parent_id).join(
        escalations, escalations.c.timer_id == table.c.id
    )
    query = query.where(escalations.c.id == escalation_id, table.c.settled_at.is_not(None))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Owners(row.id, row.schedule_id, row.parent_id)


async def behind(connection: AsyncConnection, *, before: datetime, limit: int) -> tuple[Look, ...]:
    """Return what was changed before ``before`` without the engine being told, ``limit`` of each kind.

    A plan is behind, too, when a timer of its nodes has ended.
    """
    found: list[Look] = []
    for kind, table in _TABLES.items():
        changed = sa.and_(table.c.armed_generation < table.c.generation, table.c.updated_at < before)
        if kind in _OPEN:
            changed = sa.and_(_OPEN[kind], changed)
        if kind == "plan":
            changed = sa.or_(changed, table.c.id.in_(_with_ended_timers(before)))
        rows = await connection.execute(sa.select(table).where(changed).limit(limit))
        found += [_look(kind, row) for row in rows]
    return tuple(found)


def _with_ended_timers(before: datetime) -> sa.Select[tuple[str]]:
    """Plans in which a timer has ended whose node still runs."""
    nodes = schema.plan_nodes
    return (
        sa.select(nodes.c.plan_id)
        .join(timers.TABLE, timers.TABLE.c.id == nodes.c.timer_id)
        .where(nodes.c.state == NodeState.RUNNING.value, timers.TABLE.c.settled_at < before)
    )


async def overdue(connection: AsyncConnection, *, before: datetime, limit: int) -> tuple[Look, ...]:
    """Return what should have been looked at before ``before``, ``limit`` of each kind.

    Running plans in which a deadline passed, or nothing runs that should; escalations and heartbeats whose
    time has come; ingests with files that wait; jobs past their deadline; sandboxes past their lifetime, or
    that should stand by now. Usually nobody is there to look; but the engine may also have lost them.
    """
    escalations, beats, ingests = schema.escalations, schema.heartbeats, schema.ingests
    jobs, boxes = schema.jobs, schema.sandboxes
    late_opening = sa.and_(boxes.c.state == SandboxState.OPENING.value, boxes.c.open_by < before)
    late: dict[str, sa.ColumnElement[bool]] = {
        "plan": _late_plan(before),
        "escalation": sa.and_(escalations.c.ended_at.is_(None), escalations.c.next_at < before),
        "ingest": sa.and_(ingests.c.state == IngestState.RUNNING.value, ingests.c.updated_at < before),
        "job": sa.and_(jobs.c.ended_at.is_(None), jobs.c.deadline_at < before),
        "sandbox": sa.and_(boxes.c.ended_at.is_(None), sa.or_(boxes.c.expires_at < before, late_opening)),
    }
    found: list[Look] = []
    for kind, table in _TABLES.items():
        rows = await connection.execute(sa.select(table).where(late[kind]).limit(limit))
        found += [_look(kind, row) for row in rows]
    silent = sa.select(beats).where(beats.c.state == HeartbeatState.ALIVE.value, beats.c.silent_at < before)
    found += [
        Look("heartbeat", row.tenant, row.id, row.id, 0, None)
        for row in await connection.execute(silent.limit(limit))
    ]
    return tuple(found)


def _late_plan(before: datetime) -> sa.ColumnElement[bool]:
    table, nodes = schema.plans, schema.plan_nodes
    runs = sa.exists().where(nodes.c.plan_id == table.c.id, nodes.c.state == NodeState.RUNNING.value)
    return sa.and_(
        table.c.state == PlanState.RUNNING.value,
        table.c.updated_at < before,
        sa.or_(~runs, runs.where(nodes.c.deadline_at < before)),
    )


async def confirm(connection: AsyncConnection, done: Look) -> None:
    """Remember that the engine knows this generation."""
    table = _TABLES.get(done.kind)
    if table is not None:
        await connection.execute(
            sa.update(table)
            .where(table.c.id == done.public_id, table.c.armed_generation < done.generation)
            .values(armed_generation=done.generation)
        )


def _look(kind: str, row: sa.Row[Any]) -> Look:
    if kind == "job":
        # For people: what it does and what it is called.
        name = f"{row.kind}: {row.name}"
        told = None if row.cancel_requested_at is None else "cancelled"
        return Look(kind, row.tenant, row.id, name, row.generation, row.traceparent, row.priority, told)
    return Look(kind, row.tenant, row.id, row.name, row.generation, row.traceparent)
