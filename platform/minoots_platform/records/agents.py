"""Agents: who there is, and how full their inboxes are."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Agent, AgentRegister, EventType, Page
from minoots.errors import Failure, FailureKind

from . import events, schema
from .inserting import insert_new
from .paging import newest_first

TABLE = schema.agents
_COMMANDS = schema.agent_commands


async def register(
    connection: AsyncConnection, tenant: str, spec: AgentRegister, *, now: datetime, actor: str
) -> Agent:
    """Make an agent, or change what is given of one that is there."""
    given = spec.model_dump(mode="json", exclude_unset=True, exclude={"id"})
    new = {"description": None, "labels": {}} | given
    made = await insert_new(connection, TABLE, {"tenant": tenant, "id": spec.id, "created_at": now, **new})
    if not made and given:
        await connection.execute(sa.update(TABLE).where(*_is(tenant, spec.id)).values(**given))
    if made:
        told = events.NewEvent(EventType.AGENT_REGISTERED, f"agent/{spec.id}", now, {"by": actor})
        await events.append(connection, tenant, [told])
    return await get(connection, tenant, spec.id)


async def get(connection: AsyncConnection, tenant: str, agent_id: str) -> Agent:
    """Return an agent.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    row = (await connection.execute(_with_inbox(tenant).where(TABLE.c.id == agent_id))).one_or_none()
    if row is None:
        raise unknown(agent_id)
    return _view(row)


async def page(connection: AsyncConnection, tenant: str, *, limit: int, cursor: str | None) -> Page[Agent]:
    """Return one page of agents, the newest first."""
    return await newest_first(
        connection,
        _with_inbox(tenant),
        TABLE.c.created_at,
        "agents",
        _view,
        limit=limit,
        cursor=cursor,
    )


async def known_among(connection: AsyncConnection, tenant: str, ids: Collection[str]) -> frozenset[str]:
    """Return those of ``ids`` that there are."""
    query = sa.select(TABLE.c.id).where(TABLE.c.tenant == tenant, TABLE.c.id.in_(sorted(ids)))
    return frozenset((await connection.scalars(query)).all())


async def lock(connection: AsyncConnection, tenant: str, agent_id: str) -> sa.Row[Any]:
    """Lock an agent's row: whoever queues, hands out or answers goes one after the other.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.select(TABLE).where(*_is(tenant, agent_id)).with_for_update()
    row: sa.Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise unknown(agent_id)
    return row


async def seen(connection: AsyncConnection, tenant: str, agent_id: str, now: datetime) -> None:
    """Remember that an agent was there."""
    await connection.execute(sa.update(TABLE).where(*_is(tenant, agent_id)).values(last_seen_at=now))


def unknown(agent_id: str) -> Failure:
    """Return the failure for an agent that is not there."""
    return Failure(
        FailureKind.NOT_FOUND,
        f"there is no agent {agent_id[:63]!r}",
        remedy="Register it with POST /v1/agents; GET /v1/agents lists those of this key's tenant.",
    )


def _is(tenant: str, agent_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (TABLE.c.tenant == tenant, TABLE.c.id == agent_id)


def _with_inbox(tenant: str) -> sa.Select[Any]:
    mine = (
        _COMMANDS.c.tenant == TABLE.c.tenant,
        _COMMANDS.c.agent_id == TABLE.c.id,
        _COMMANDS.c.closed_at.is_(None),
    )
    waiting = sa.select(sa.func.count()).where(*mine).correlate(TABLE).scalar_subquery()
    first = sa.func.min(_COMMANDS.c.created_at, type_=schema.Moment)
    oldest = sa.select(first).where(*mine).correlate(TABLE).scalar_subquery()
    return sa.select(TABLE, waiting.label("waiting"), oldest.label("oldest_at")).where(
        TABLE.c.tenant == tenant
    )


def _view(row: sa.Row[Any]) -> Agent:
    return Agent(
        id=row.id,
        description=row.description,
        labels=row.labels,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        waiting=row.waiting,
        oldest_at=row.oldest_at,
    )
