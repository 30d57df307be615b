"""Destinations: their rows and limits. What their circuits do is in `circuits`, who waits in `admission`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    CircuitPolicy,
    DeliveryState,
    Destination,
    DestinationSave,
    DestinationState,
    EventType,
    Page,
    RateLimit,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import events, schema
from .inserting import insert_new
from .paging import newest_first

TABLE = schema.destinations


@dataclass(frozen=True)
class Limits:
    """How fast deliveries may go to a destination, and when its circuit opens."""

    rate: RateLimit | None
    concurrency: int | None
    circuit: CircuitPolicy


def hash_of(url: str) -> str | None:
    """Return what a destination is found by; ``None`` for an inbox of an agent, which nothing holds back."""
    return None if url.startswith("agent:") else hashlib.sha256(_same(url).encode()).hexdigest()


def _same(url: str) -> str:
    """Return the one spelling of addresses that are the same by RFC 3986: case of the host, usual port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or parts.hostname is None:
        return url
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is not None and port != {"http": 80, "https": 443}[scheme]:
        host = f"{host}:{port}"
    return urlunsplit((scheme, host, parts.path or "/", parts.query, ""))


async def lock(connection: AsyncConnection, tenant: str, hashes: Collection[str]) -> dict[str, sa.Row[Any]]:
    """Return the rows of those destinations that have one, locked, by their hash."""
    # In one order, so that two transactions with the same two destinations cannot wait for each other.
    query = (
        sa.select(TABLE)
        .where(TABLE.c.tenant == tenant, TABLE.c.url_hash.in_(hashes))
        .order_by(TABLE.c.url_hash)
        .with_for_update()
    )
    return {row.url_hash: row for row in await connection.execute(query)}


async def ensure(connection: AsyncConnection, tenant: str, url: str, now: datetime) -> sa.Row[Any]:
    """Return the row of a destination, locked; make it where there is none."""
    url_hash = hash_of(url)
    if url_hash is None:
        raise ValueError("expected a destination that can be held back; got an agent's inbox")
    # Several deliveries may need it at the same time; one of them makes it.
    await insert_new(
        connection,
        TABLE,
        {
            "id": new_id("dst", now),
            "tenant": tenant,
            "url": url,
            "url_hash": url_hash,
            "state": DestinationState.CLOSED.value,
            "limits": {},
            "changed_at": now,
        },
    )
    return (await lock(connection, tenant, [url_hash]))[url_hash]


def limits_of(row: sa.Row[Any] | None) -> Limits:
    """Return the limits of a destination; one without a row has none but the usual circuit."""
    kept = {} if row is None else row.limits
    rate = kept.get("rate")
    return Limits(
        rate=None if rate is None else RateLimit.model_validate(rate),
        concurrency=kept.get("concurrency"),
        circuit=CircuitPolicy.model_validate(kept.get("circuit", {})),
    )


async def save(
    connection: AsyncConnection, tenant: str, wanted: DestinationSave, *, now: datetime, actor: str
) -> tuple[sa.Row[Any], events.NewEvent]:
    """Keep the limits of a destination; return its row and the event to append."""
    row = await ensure(connection, tenant, wanted.url, now)
    limits = wanted.model_dump(mode="json", exclude={"url"})
    saved = await change(connection, row, limits=limits)
    data = {"url": row.url, "by": actor, **limits}
    return saved, events.NewEvent(EventType.DESTINATION_SAVED, row.id, now, data)


async def remove(connection: AsyncConnection, row: sa.Row[Any]) -> None:
    """Forget a row that is locked."""
    slots = schema.destination_slots
    await connection.execute(sa.delete(slots).where(slots.c.destination_id == row.id))
    await connection.execute(sa.delete(TABLE).where(TABLE.c.id == row.id))


async def change(connection: AsyncConnection, row: sa.Row[Any], **values: Any) -> sa.Row[Any]:
    """Change a row that is locked; return it as it is since."""
    changed: sa.Row[Any] = (
        await connection.execute(
            sa.update(TABLE).where(TABLE.c.id == row.id).values(**values).returning(TABLE)
        )
    ).one()
    return changed


async def row_of(connection: AsyncConnection, tenant: str, destination_id: str) -> sa.Row[Any]:
    """Return the row of a destination, locked.

    Raises:
        Failure: not_found.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == destination_id).with_for_update()
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise _unknown(destination_id)
    return found


async def get(connection: AsyncConnection, tenant: str, destination_id: str) -> Destination:
    """Return a destination as it stands.

    Raises:
        Failure: not_found.
    """
    query = _shown().where(TABLE.c.tenant == tenant, TABLE.c.id == destination_id)
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise _unknown(destination_id)
    return _view(found)


async def page(
    connection: AsyncConnection, tenant: str, *, limit: int, cursor: str | None
) -> Page[Destination]:
    """Return destinations, those that changed last first."""
    query = _shown().where(TABLE.c.tenant == tenant)
    return await newest_first(
        connection, query, TABLE.c.changed_at, "changed", _view, limit=limit, cursor=cursor
    )


def _unknown(destination_id: str) -> Failure:
    return Failure(
        FailureKind.NOT_FOUND,
        f"there is no destination {destination_id[:60]}",
        remedy="GET /v1/destinations lists them.",
    )


def _shown() -> sa.Select[Any]:
    table = schema.deliveries

    def count(state: DeliveryState) -> sa.ScalarSelect[int]:
        mine = (table.c.tenant == TABLE.c.tenant, table.c.url_hash == TABLE.c.url_hash)
        query = sa.select(sa.func.count()).select_from(table).where(*mine, table.c.state == state.value)
        return query.correlate(TABLE).scalar_subquery()

    return sa.select(
        TABLE, count(DeliveryState.SENDING).label("sending"), count(DeliveryState.WAITING).label("waiting")
    )


def _view(row: sa.Row[Any]) -> Destination:
    limits = limits_of(row)
    return Destination(
        id=row.id,
        url=row.url,
        state=row.state,
        reason=row.reason,
        changed_at=row.changed_at,
        probe_at=row.probe_at,
        trips=row.trips,
        status=row.status,
        rate=limits.rate,
        concurrency=limits.concurrency,
        circuit=limits.circuit,
        sending=row.sending,
        waiting=row.waiting,
    )
