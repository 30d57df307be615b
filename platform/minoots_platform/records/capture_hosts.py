"""Hosts that capture: when each was last heard of, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema
from .inserting import insert_new

TABLE = schema.capture_hosts


async def seen(
    connection: AsyncConnection,
    tenant: str,
    host: str,
    status: Mapping[str, Any],
    *,
    version: str,
    started_at: datetime,
    now: datetime,
) -> None:
    """Remember that a host was heard of."""
    values = {"version": version, "started_at": started_at, "seen_at": now, "status": dict(status)}
    made = await insert_new(connection, TABLE, {"tenant": tenant, "host": host} | values)
    if not made:
        mine = (TABLE.c.tenant == tenant, TABLE.c.host == host)
        await connection.execute(sa.update(TABLE).where(*mine).values(**values))


async def all_of(connection: AsyncConnection, tenant: str) -> list[sa.Row[Any]]:
    """Return the hosts of a tenant by name."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant).order_by(TABLE.c.host)
    return list(await connection.execute(query))
