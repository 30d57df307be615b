"""Tenants: they come into being when they are first named by an operator."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema


async def ensure(connection: AsyncConnection, tenant: str, now: datetime) -> None:
    """Make ``tenant`` exist."""
    values = {"id": tenant, "created_at": now, "last_sequence": 0}
    insert: sa.Insert
    if connection.dialect.name == "sqlite":
        insert = sqlite.insert(schema.tenants).values(values).on_conflict_do_nothing()
    else:
        insert = postgresql.insert(schema.tenants).values(values).on_conflict_do_nothing()
    await connection.execute(insert)
