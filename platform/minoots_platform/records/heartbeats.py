"""Heartbeats: who calls in, and what silence begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    EscalationCreate,
    EscalationState,
    EventType,
    Heartbeat,
    HeartbeatSave,
    HeartbeatState,
    Page,
)
from minoots.errors import Failure, FailureKind

from . import documents, escalation_reading, escalations, events, schema, tellable
from .escalations import Doing
from .inserting import insert_new
from .paging import newest_first

TABLE = schema.heartbeats


@dataclass(frozen=True)
class Looked:
    """How a heartbeat stands after a look at it."""

    state: HeartbeatState | None
    """``None`` when it was removed."""
    wake_at: datetime | None = None
    escalation_id: str | None = None
    """The escalation that this look began."""


async def save(
    connection: AsyncConnection, tenant: str, spec: HeartbeatSave, *, now: datetime, actor: str
) -> Heartbeat:
    """Keep a heartbeat, or change the one of that id.

    Raises:
        Failure: invalid, when there is no such policy.
    """
    if await documents.find(connection, tenant, "policy", spec.policy) is None:
        raise tellable.missing(
            "body.policy", "the id of a policy", spec.policy, "Save it with POST /v1/policies."
        )
    wire = spec.model_dump(mode="json", exclude={"id"})
    values = {
        "tenant": tenant,
        "id": spec.id,
        "spec": wire,
        "state": HeartbeatState.NEW.value,
        "created_at": now,
        "updated_at": now,
        "created_by": actor,
    }
    if not await insert_new(connection, TABLE, values):
        row = await _row(connection, tenant, spec.id, for_update=True)
        silent_at = None if row.last_at is None else row.last_at + spec.every + spec.grace
        changed = sa.update(TABLE).where(*_is(tenant, spec.id))
        await connection.execute(changed.values(spec=wire, updated_at=now, silent_at=silent_at))
    told = events.NewEvent(EventType.HEARTBEAT_SAVED, f"heartbeat/{spec.id}", now, {"by": actor})
    await events.append(connection, tenant, [told])
    return await get(connection, tenant, spec.id)


async def get(connection: AsyncConnection, tenant: str, heartbeat_id: str) -> Heartbeat:
    """Return a heartbeat.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    return _view(await _row(connection, tenant, heartbeat_id))


async def page(
    connection: AsyncConnection, tenant: str, *, limit: int, cursor: str | None
) -> Page[Heartbeat]:
    """Return one page of heartbeats, the newest first."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    return await newest_first(
        connection, query, TABLE.c.created_at, "heartbeats", _view, limit=limit, cursor=cursor
    )


async def beat(
    connection: AsyncConnection, tenant: str, heartbeat_id: str, *, now: datetime, actor: str
) -> tuple[Heartbeat, bool, str | None]:
    """Note that somebody called; return the heartbeat, whether its workflow is to look, and what it resolved.

    The first call and the one that ends a silence have the workflow look; the others only move the moment
    when silence begins.

    Raises:
        Failure: not_found.
    """
    row = await _row(connection, tenant, heartbeat_id, for_update=True)
    spec = HeartbeatSave.model_validate({"id": row.id, **row.spec})
    values = {
        "state": HeartbeatState.ALIVE.value,
        "last_at": now,
        "silent_at": now + spec.every + spec.grace,
        "escalation_id": None,
    }
    await connection.execute(sa.update(TABLE).where(*_is(tenant, heartbeat_id)).values(**values))
    was = HeartbeatState(row.state)
    resolved: str | None = None
    if was is HeartbeatState.SILENT:
        resolved = await _recover(connection, row, now, actor)
        told = events.NewEvent(EventType.HEARTBEAT_RECOVERED, f"heartbeat/{row.id}", now, {"by": actor})
        await events.append(connection, tenant, [told])
    return await get(connection, tenant, heartbeat_id), was is not HeartbeatState.ALIVE, resolved


async def remove(
    connection: AsyncConnection, tenant: str, heartbeat_id: str, *, now: datetime, actor: str
) -> None:
    """Expect it no longer. An escalation that it began goes on.

    Raises:
        Failure: not_found.
    """
    await _row(connection, tenant, heartbeat_id, for_update=True)
    await connection.execute(sa.delete(TABLE).where(*_is(tenant, heartbeat_id)))
    told = events.NewEvent(EventType.HEARTBEAT_REMOVED, f"heartbeat/{heartbeat_id}", now, {"by": actor})
    await events.append(connection, tenant, [told])


async def look(connection: AsyncConnection, tenant: str, heartbeat_id: str, *, now: datetime) -> Looked:
    """Begin the ladder if nobody has called in time, once for each silence."""
    query = sa.select(TABLE).where(*_is(tenant, heartbeat_id)).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return Looked(None)
    state = HeartbeatState(row.state)
    if state is not HeartbeatState.ALIVE:
        return Looked(state)
    if row.silent_at > now:
        return Looked(state, row.silent_at)
    spec = HeartbeatSave.model_validate({"id": row.id, **row.spec})
    about = {"heartbeat": row.id, "last_at": row.last_at.isoformat(), "payload": spec.payload}
    wanted = EscalationCreate(name=spec.name, payload=about, policy=spec.policy, labels={"heartbeat": row.id})
    escalation_id: str | None = None
    reason: str | None = None
    try:
        opened = await escalations.accept(
            connection, tenant, wanted, now=now, actor=f"heartbeat/{row.id}", traceparent=None
        )
        escalation_id = opened.id
    except Failure as failure:
        # Its policy is gone, or names somebody who is: the silence is told of all the same.
        reason = failure.detail
    values = {"state": HeartbeatState.SILENT.value, "escalation_id": escalation_id, "updated_at": now}
    await connection.execute(sa.update(TABLE).where(*_is(tenant, heartbeat_id)).values(**values))
    data: dict[str, Any] = {"last_at": row.last_at.isoformat(), "escalation_id": escalation_id}
    if reason is not None:
        data["reason"] = reason
    told = events.NewEvent(EventType.HEARTBEAT_SILENT, f"heartbeat/{row.id}", now, data)
    await events.append(connection, tenant, [told])
    return Looked(HeartbeatState.SILENT, None, escalation_id)


async def _recover(connection: AsyncConnection, row: sa.Row[Any], now: datetime, actor: str) -> str | None:
    if row.escalation_id is None:
        return None
    found = await escalation_reading.row_of(connection, row.tenant, row.escalation_id)
    if EscalationState(found.state).final:
        return None
    doing = Doing(f"heartbeat/{row.id}", "api", now, "the heartbeat is back")
    await escalations.resolve(connection, row.tenant, row.escalation_id, doing)
    return str(row.escalation_id)


async def _row(
    connection: AsyncConnection, tenant: str, heartbeat_id: str, *, for_update: bool = False
) -> sa.Row[Any]:
    query = sa.select(TABLE).where(*_is(tenant, heartbeat_id))
    row = (await connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no heartbeat {heartbeat_id[:63]!r}",
            remedy="Save it with POST /v1/heartbeats; GET /v1/heartbeats lists them.",
        )
    return row


def _is(tenant: str, heartbeat_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (TABLE.c.tenant == tenant, TABLE.c.id == heartbeat_id)


def _view(row: sa.Row[Any]) -> Heartbeat:
    spec = HeartbeatSave.model_validate({"id": row.id, **row.spec})
    return Heartbeat(
        id=row.id,
        name=spec.name,
        state=row.state,
        every=spec.every,
        grace=spec.grace,
        policy=spec.policy,
        last_at=row.last_at,
        silent_at=row.silent_at,
        escalation_id=row.escalation_id,
        updated_at=row.updated_at,
    )
