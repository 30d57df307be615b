"""Inserts that yield to a row that is there already, on SQLite and Postgres alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_new(connection: AsyncConnection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless it clashes with another; return whether it is ours.

    Looking first would not do: on Postgres two transactions may both see nothing and both insert.
    """
    insert: sqlite.Insert | postgresql.Insert
    if connection.dialect.name == "sqlite":
        insert = sqlite.insert(table).on_conflict_do_nothing()
    else:
        insert = postgresql.insert(table).on_conflict_do_nothing()
    made = await connection.execute(insert.values(values).returning(*table.primary_key))
    return made.one_or_none() is not None
