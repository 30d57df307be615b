"""Tenants: they come into being when they are first named by an operator."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema
from .inserting import insert_new

_TABLE: Final = schema.tenants


async def ensure(connection: AsyncConnection, tenant: str, now: datetime) -> None:
    """Make ``tenant`` exist."""
    await insert_new(connection, _TABLE, {"id": tenant, "created_at": now, "last_sequence": 0})


async def one_after_the_other(connection: AsyncConnection, tenant: str) -> None:
    """Have nobody else count what a tenant has until this is kept: two at once would count neither the other.

    The row is that of the tenant's log, in which what is kept is told anyway: so it is locked last,
    after contents and sandboxes, as everywhere.
    """
    query = sa.select(_TABLE.c.id).where(_TABLE.c.id == tenant)
    await connection.execute(query.with_for_update(key_share=True))
