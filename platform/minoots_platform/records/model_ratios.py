"""How many bytes a token of a model has, as workers learnt it from what providers counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema

TABLE: Final = schema.model_ratios


@dataclass(frozen=True)
class Kept:
    """What was learnt of a model by what a tenant sent it; with an empty tenant, by what all sent it."""

    tenant: str
    provider: str
    model: str
    mean: float
    least: float
    answers: int


async def latest(connection: AsyncConnection, most: int) -> tuple[Kept, ...]:
    """Return what was learnt last, the oldest first."""
    query = sa.select(TABLE).order_by(TABLE.c.updated_at.desc(), TABLE.c.tenant).limit(most)
    rows = (await connection.execute(query)).all()
    return tuple(
        Kept(row.tenant, row.provider, row.model, row.mean, row.least, row.answers) for row in reversed(rows)
    )


async def save(connection: AsyncConnection, rows: Sequence[Kept], now: datetime) -> None:
    """Keep what was learnt, in place of what was known before."""
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(TABLE)
    keep = insert.on_conflict_do_update(
        index_elements=["tenant", "provider", "model"],
        set_={name: insert.excluded[name] for name in ("mean", "least", "answers", "updated_at")},
    )
    # In one order: two workers that write at the same time cannot wait for each other.
    for row in sorted(rows, key=lambda row: (row.tenant, row.provider, row.model)):
        await connection.execute(keep, {**asdict(row), "updated_at": now})


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Remove what has not changed since."""
    await connection.execute(sa.delete(TABLE).where(TABLE.c.updated_at < before))
