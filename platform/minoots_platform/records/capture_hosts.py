"""Hosts that capture: when each was last heard of, how it stands, and that no two have one name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure, FailureKind

from . import schema
from .inserting import insert_new

TABLE = schema.capture_hosts

HELD: Final = timedelta(seconds=20)
"""How long after the last sign of life a name is kept for who had it."""

_IDENTITY: Final = "identity"


async def seen(
    connection: AsyncConnection,
    tenant: str,
    host: str,
    status: Mapping[str, Any],
    *,
    version: str,
    started_at: datetime,
    now: datetime,
    identity: str = "",
) -> None:
    """Remember that a host was heard of.

    Raises:
        Failure: conflict, when another with this name, which has another id, was heard of just now.
    """
    told = {**status, _IDENTITY: identity} if identity else dict(status)
    values = {"version": version, "started_at": started_at, "seen_at": now, "status": told}
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.host == host).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    other = None if row is None else row.status.get(_IDENTITY)
    if row is not None and identity and other and other != identity and now - row.seen_at < HELD:
        raise Failure(
            FailureKind.CONFLICT,
            f"another machine captures as {host}, since {row.started_at.isoformat(timespec='seconds')}",
            remedy="Give one of them a name of its own: capture.host (MINOOTS_CAPTURE__HOST). If it was this "
            f"machine with another data directory, begin again {HELD.seconds} s after it has ended.",
        )
    made = await insert_new(connection, TABLE, {"tenant": tenant, "host": host} | values)
    if not made:
        mine = (TABLE.c.tenant == tenant, TABLE.c.host == host)
        await connection.execute(sa.update(TABLE).where(*mine).values(**values))


async def left(connection: AsyncConnection, tenant: str, host: str, identity: str) -> None:
    """Let go of a name, for whoever comes next."""
    mine = (TABLE.c.tenant == tenant, TABLE.c.host == host)
    row = (await connection.execute(sa.select(TABLE).where(*mine).with_for_update())).one_or_none()
    if row is not None and row.status.get(_IDENTITY) == identity:
        status = {key: value for key, value in row.status.items() if key != _IDENTITY}
        await connection.execute(sa.update(TABLE).where(*mine).values(status=status))


async def all_of(connection: AsyncConnection, tenant: str) -> list[sa.Row[Any]]:
    """Return the hosts of a tenant by name."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant).order_by(TABLE.c.host)
    return list(await connection.execute(query))
