"""API keys in the records: made, found by hash, listed, revoked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure, FailureKind
from minoots_platform.identity import Principal, Scope, hash_key, new_key
from minoots_platform.identity.keys import hint_of
from minoots_platform.ids import new_id

from . import schema, tenants

TABLE = schema.api_keys
USE_RESOLUTION: Final = timedelta(minutes=1)
"""``last_used_at`` is no more precise than this, so that reading does not write all the time."""


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    id: str
    tenant: str
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    acts_as: str | None = None
    """Whom it acts as, and only as them."""


@dataclass(frozen=True)
class Found:
    """The principal of a key, and whether its use is worth noting."""

    key_id: str
    principal: Principal
    note_use: bool


async def create(
    connection: AsyncConnection,
    tenant: str,
    name: str,
    scopes: Collection[Scope],
    *,
    now: datetime,
    expires_at: datetime | None,
    acts_as: str | None = None,
) -> tuple[ApiKey, str]:
    """Make a key, and its tenant if it is the first; return it with its secret, this once."""
    await tenants.ensure(connection, tenant, now)
    secret = new_key()
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=new_id("key", now),
                tenant=tenant,
                name=name,
                hash=hash_key(secret),
                hint=hint_of(secret),
                scopes=sorted(scopes),
                acts_as=acts_as,
                created_at=now,
                expires_at=expires_at,
            )
            .returning(TABLE)
        )
    ).one()
    return _view(row), secret


async def find(connection: AsyncConnection, secret: str, now: datetime) -> Found | None:
    """Return whose key ``secret`` is, or ``None`` when it is unknown, expired or revoked."""
    hashed = hash_key(secret)
    if hashed is None:
        return None
    row = (await connection.execute(sa.select(TABLE).where(TABLE.c.hash == hashed))).one_or_none()
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    principal = Principal(row.tenant, row.id, frozenset(Scope(scope) for scope in row.scopes), row.acts_as)
    return Found(row.id, principal, row.last_used_at is None or now - row.last_used_at >= USE_RESOLUTION)


async def ended(connection: AsyncConnection, ids: Collection[str], now: datetime) -> frozenset[str]:
    """Return which of these keys have been revoked or have expired."""
    query = sa.select(TABLE.c.id).where(
        TABLE.c.id.in_(ids), TABLE.c.revoked_at.is_not(None) | (TABLE.c.expires_at <= now)
    )
    return frozenset((await connection.execute(query)).scalars())


async def note_use(connection: AsyncConnection, key_id: str, now: datetime) -> None:
    """Remember that a key was used."""
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == key_id).values(last_used_at=now))


async def page(connection: AsyncConnection, tenant: str | None) -> tuple[ApiKey, ...]:
    """Return every key, of one tenant or of all, the oldest first."""
    query = sa.select(TABLE).order_by(TABLE.c.created_at, TABLE.c.id)
    if tenant is not None:
        query = query.where(TABLE.c.tenant == tenant)
    return tuple(_view(row) for row in await connection.execute(query))


async def revoke(connection: AsyncConnection, key_id: str, *, now: datetime) -> ApiKey:
    """End a key at once; one that is revoked already stays so.

    Raises:
        Failure: not_found.
    """
    row = (await connection.execute(sa.select(TABLE).where(TABLE.c.id == key_id))).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND, f"there is no key {key_id[:60]}", remedy="minoots keys list shows them."
        )
    if row.revoked_at is None:
        query = sa.update(TABLE).where(TABLE.c.id == key_id).values(revoked_at=now).returning(TABLE)
        row = (await connection.execute(query)).one()
    return _view(row)


def _view(row: sa.Row[Any]) -> ApiKey:
    values = {name: value for name, value in row._mapping.items() if name not in ("hash", "scopes")}
    return ApiKey(scopes=tuple(Scope(scope) for scope in row.scopes), **values)
