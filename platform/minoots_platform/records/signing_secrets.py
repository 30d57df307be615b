"""Signing secrets: sealed by the vault, several versions at once while one is being rotated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, Secret, SecretCreated, SecretVersion
from minoots.errors import Failure, FailureKind
from minoots_platform.signing import SigningKey
from minoots_platform.vault import Vault

from . import events, schema
from .inserting import insert_new

TABLE = schema.signing_secrets
DEFAULT: Final = "default"
"""Signs what names no secret; made when it is first needed."""


async def create(
    connection: AsyncConnection, vault: Vault, tenant: str, name: str, *, now: datetime
) -> SecretCreated:
    """Make a new secret and return it with its key, this once.

    Raises:
        Failure: conflict, when the name is taken.
    """
    made = None
    if not await _rows(connection, tenant, [name]):
        made = await _add(connection, vault, tenant, name, 1, EventType.SECRET_CREATED, now)
    if made is None:
        raise Failure(
            FailureKind.CONFLICT,
            f"there is a secret {name} already",
            remedy=f"POST /v1/secrets/{name}/rotate makes a new version of it and shows its key.",
        )
    return made


async def rotate(
    connection: AsyncConnection, vault: Vault, tenant: str, name: str, overlap: timedelta, *, now: datetime
) -> SecretCreated:
    """Make a new version; the older ones sign too until ``overlap`` has passed.

    Raises:
        Failure: not_found.
    """
    newest = (await _known(connection, tenant, name, lock=True))[-1]
    ends = now + overlap
    await connection.execute(
        sa.update(TABLE)
        .where(
            TABLE.c.tenant == tenant,
            TABLE.c.name == name,
            (TABLE.c.expires_at.is_(None)) | (TABLE.c.expires_at > ends),
        )
        .values(expires_at=ends)
    )
    version = newest.version + 1
    made = await _add(connection, vault, tenant, name, version, EventType.SECRET_ROTATED, now)
    if made is None:
        raise Failure(
            FailureKind.CONFLICT,
            f"secret {name} was rotated to version {version} at the same moment",
            remedy="Rotate it again if that was not you.",
        )
    return made


async def page(connection: AsyncConnection, tenant: str, now: datetime) -> tuple[Secret, ...]:
    """Return every secret with the versions that sign at ``now``."""
    rows = await _rows(connection, tenant, None)
    return tuple(
        _view(name, list(versions), now) for name, versions in groupby(rows, key=lambda row: str(row.name))
    )


async def get(connection: AsyncConnection, tenant: str, name: str, now: datetime) -> Secret:
    """Return one secret.

    Raises:
        Failure: not_found.
    """
    return _view(name, await _known(connection, tenant, name), now)


async def known_among(connection: AsyncConnection, tenant: str, names: Collection[str]) -> frozenset[str]:
    """Return those of ``names`` that there are."""
    return frozenset(row.name for row in await _rows(connection, tenant, names))


async def ensure_default(connection: AsyncConnection, vault: Vault, tenant: str, *, now: datetime) -> None:
    """Make the tenant's default secret if there is none."""
    if not await _rows(connection, tenant, [DEFAULT]):
        await _add(connection, vault, tenant, DEFAULT, 1, EventType.SECRET_CREATED, now)


async def keys(
    connection: AsyncConnection, vault: Vault, tenant: str, names: Collection[str], now: datetime
) -> dict[str, tuple[SigningKey, ...]]:
    """Return for each name the keys that sign at ``now``, newest first; unknown names are absent."""
    opened: dict[str, tuple[SigningKey, ...]] = {}
    for row in await _rows(connection, tenant, names):
        if row.expires_at is None or row.expires_at > now:
            opened[row.name] = (SigningKey.from_bytes(vault.decrypt(row.sealed)), *opened.get(row.name, ()))
    return opened


async def _add(
    connection: AsyncConnection,
    vault: Vault,
    tenant: str,
    name: str,
    version: int,
    kind: EventType,
    now: datetime,
) -> SecretCreated | None:
    """Make one version, or return ``None`` when somebody else made it at the same moment."""
    key = SigningKey.generate()
    values = {
        "tenant": tenant,
        "name": name,
        "version": version,
        "sealed": vault.encrypt(key.to_bytes()),
        "public_key": key.public_key,
        "created_at": now,
    }
    if not await insert_new(connection, TABLE, values):
        return None
    shown = _view(name, await _known(connection, tenant, name), now)
    told = events.NewEvent(kind, f"secret/{name}", now, {"name": name, "version": version})
    await events.append(connection, tenant, [told])
    return SecretCreated(name=name, versions=shown.versions, key=key.secret)


async def _rows(
    connection: AsyncConnection, tenant: str, names: Collection[str] | None, *, lock: bool = False
) -> Sequence[sa.Row[Any]]:
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant).order_by(TABLE.c.name, TABLE.c.version)
    if names is not None:
        query = query.where(TABLE.c.name.in_(names))
    if lock:
        query = query.with_for_update()
    return (await connection.execute(query)).all()


async def _known(
    connection: AsyncConnection, tenant: str, name: str, *, lock: bool = False
) -> Sequence[sa.Row[Any]]:
    rows = await _rows(connection, tenant, [name], lock=lock)
    if not rows:
        raise Failure(
            FailureKind.NOT_FOUND, f"there is no secret {name[:63]}", remedy="GET /v1/secrets lists them."
        )
    return rows


def _view(name: str, rows: Sequence[sa.Row[Any]], now: datetime) -> Secret:
    return Secret(
        name=name,
        versions=tuple(
            SecretVersion(
                version=row.version,
                public_key=row.public_key,
                created_at=row.created_at,
                expires_at=row.expires_at,
            )
            for row in reversed(rows)
            if row.expires_at is None or row.expires_at > now
        ),
    )
