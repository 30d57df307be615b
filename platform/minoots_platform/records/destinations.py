"""Destinations: receivers that answered 410 and are left alone until somebody reopens them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Destination, EventType, Page
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import events, schema
from .inserting import insert_new
from .paging import newest_first

TABLE = schema.destinations
OPEN: Final = "open"
GONE: Final = "gone"


async def gone_among(connection: AsyncConnection, tenant: str, urls: Collection[str]) -> frozenset[str]:
    """Return those of ``urls`` that are marked gone."""
    hashes = [_hash(url) for url in urls]
    query = sa.select(TABLE.c.url).where(
        TABLE.c.tenant == tenant, TABLE.c.url_hash.in_(hashes), TABLE.c.state == GONE
    )
    return frozenset((await connection.scalars(query)).all())


async def mark_gone(
    connection: AsyncConnection, tenant: str, url: str, *, status: int | None, now: datetime
) -> list[events.NewEvent]:
    """Mark ``url`` gone; return the event to append, none when it was marked already."""
    fresh = {
        "id": new_id("dst", now),
        "tenant": tenant,
        "url": url,
        "url_hash": _hash(url),
        "state": OPEN,
        "changed_at": now,
    }
    # Several deliveries to one receiver may hear the first 410 at the same time; one of them marks it.
    await insert_new(connection, TABLE, fresh)
    destination_id = (
        await connection.execute(
            sa.update(TABLE)
            .where(TABLE.c.tenant == tenant, TABLE.c.url_hash == _hash(url), TABLE.c.state != GONE)
            .values(state=GONE, status=status, changed_at=now)
            .returning(TABLE.c.id)
        )
    ).scalar_one_or_none()
    if destination_id is None:
        return []
    return [events.NewEvent(EventType.DESTINATION_GONE, destination_id, now, {"url": url, "status": status})]


async def page(
    connection: AsyncConnection, tenant: str, *, limit: int, cursor: str | None
) -> Page[Destination]:
    """Return destinations, those that changed last first."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    return await newest_first(
        connection, query, TABLE.c.changed_at, "changed", _view, limit=limit, cursor=cursor
    )


async def reopen(
    connection: AsyncConnection, tenant: str, destination_id: str, *, now: datetime, actor: str
) -> Destination:
    """Let deliveries go there again.

    Raises:
        Failure: not_found; conflict, when it is open.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == destination_id).with_for_update()
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise Failure(FailureKind.NOT_FOUND, f"there is no destination {destination_id[:60]}")
    if found.state == OPEN:
        raise Failure(FailureKind.CONFLICT, f"destination {destination_id} is open already")
    changed = await _open(connection, destination_id, now)
    opened = events.NewEvent(
        EventType.DESTINATION_REOPENED, destination_id, now, {"url": found.url, "by": actor}
    )
    await events.append(connection, tenant, [opened])
    return _view(changed)


async def reopen_after_success(
    connection: AsyncConnection, tenant: str, url: str, now: datetime
) -> list[events.NewEvent]:
    """Open ``url`` again because it took a delivery; return the event to append, if it was gone."""
    query = sa.select(TABLE).where(
        TABLE.c.tenant == tenant, TABLE.c.url_hash == _hash(url), TABLE.c.state == GONE
    )
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        return []
    await _open(connection, found.id, now)
    data = {"url": url, "by": "delivery"}
    return [events.NewEvent(EventType.DESTINATION_REOPENED, found.id, now, data)]


async def _open(connection: AsyncConnection, destination_id: str, now: datetime) -> sa.Row[Any]:
    opened: sa.Row[Any] = (
        await connection.execute(
            sa.update(TABLE)
            .where(TABLE.c.id == destination_id)
            .values(state=OPEN, status=None, changed_at=now)
            .returning(TABLE)
        )
    ).one()
    return opened


def _hash(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _view(row: sa.Row[Any]) -> Destination:
    return Destination(id=row.id, url=row.url, state=row.state, changed_at=row.changed_at, status=row.status)
