"""People, rotations and policies: documents with an id that their owner chose, saved as a whole."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, Page
from minoots.errors import Failure, FailureKind

from . import content_holds, events, schema
from .inserting import insert_new
from .paging import newest_first

TABLE = schema.documents
Kind = Literal["person", "rotation", "policy"]
_ROUTES = {"person": "people", "rotation": "rotations", "policy": "policies"}


async def save(
    connection: AsyncConnection,
    tenant: str,
    kind: Kind,
    document_id: str,
    spec: dict[str, Any],
    *,
    now: datetime,
    actor: str,
) -> sa.Row[Any]:
    """Keep a document, or replace the one of that id; return its row."""
    values = {
        "tenant": tenant,
        "kind": kind,
        "id": document_id,
        "spec": spec,
        "created_at": now,
        "updated_at": now,
        "created_by": actor,
    }
    if not await insert_new(connection, TABLE, values):
        changed = sa.update(TABLE).where(*_is(tenant, kind, document_id))
        await connection.execute(changed.values(spec=spec, updated_at=now))
    if kind == "person":
        # Its contacts are actions, and may be jobs.
        contacts = spec.get("contacts", ())
        await content_holds.require(connection, tenant, contacts, now)
        await content_holds.let_go(connection, tenant, "person", document_id)
        await content_holds.hold(connection, tenant, "person", document_id, contacts)
    told = events.NewEvent(EventType.DOCUMENT_SAVED, f"{kind}/{document_id}", now, {"by": actor})
    await events.append(connection, tenant, [told])
    return await get(connection, tenant, kind, document_id)


async def remove(
    connection: AsyncConnection, tenant: str, kind: Kind, document_id: str, *, now: datetime, actor: str
) -> None:
    """Remove a document.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.delete(TABLE).where(*_is(tenant, kind, document_id)).returning(TABLE.c.id)
    if (await connection.execute(query)).one_or_none() is None:
        raise _unknown(kind, document_id)
    if kind == "person":
        await content_holds.let_go(connection, tenant, "person", document_id)
    told = events.NewEvent(EventType.DOCUMENT_REMOVED, f"{kind}/{document_id}", now, {"by": actor})
    await events.append(connection, tenant, [told])


async def get(connection: AsyncConnection, tenant: str, kind: Kind, document_id: str) -> sa.Row[Any]:
    """Return the row of a document.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    row = await find(connection, tenant, kind, document_id)
    if row is None:
        raise _unknown(kind, document_id)
    return row


async def find(connection: AsyncConnection, tenant: str, kind: Kind, document_id: str) -> sa.Row[Any] | None:
    """Return the row of a document, or ``None``."""
    query = sa.select(TABLE).where(*_is(tenant, kind, document_id))
    return (await connection.execute(query)).one_or_none()


async def page(
    connection: AsyncConnection, tenant: str, kind: Kind, *, limit: int, cursor: str | None
) -> Page[Any]:
    """Return one page of rows, the newest first."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.kind == kind)
    return await newest_first(
        connection, query, TABLE.c.created_at, kind, lambda row: row, limit=limit, cursor=cursor
    )


async def known_among(
    connection: AsyncConnection, tenant: str, kind: Kind, ids: Collection[str]
) -> frozenset[str]:
    """Return those of ``ids`` that there are."""
    query = sa.select(TABLE.c.id).where(
        TABLE.c.tenant == tenant, TABLE.c.kind == kind, TABLE.c.id.in_(sorted(ids))
    )
    return frozenset((await connection.scalars(query)).all())


def _unknown(kind: Kind, document_id: str) -> Failure:
    return Failure(
        FailureKind.NOT_FOUND,
        f"there is no {kind} {document_id[:63]!r}",
        remedy=f"Save it with POST /v1/{_ROUTES[kind]}; GET /v1/{_ROUTES[kind]} lists them.",
    )


def _is(tenant: str, kind: str, document_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (TABLE.c.tenant == tenant, TABLE.c.kind == kind, TABLE.c.id == document_id)
