"""Tenants: they come into being when they are first named by an operator."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema
from .inserting import insert_new


async def ensure(connection: AsyncConnection, tenant: str, now: datetime) -> None:
    """Make ``tenant`` exist."""
    await insert_new(connection, schema.tenants, {"id": tenant, "created_at": now, "last_sequence": 0})
