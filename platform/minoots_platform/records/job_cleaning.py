"""Letting go of jobs that ended long ago, and of rows of usage that nobody adds up any more.

Owns how long is long enough to be forgotten, in small transactions. Contents that no job names any more are
forgotten by `contents`, a day later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema
from .jobs import FINAL, TABLE

JOBS_AT_ONCE: Final = 20
"""Jobs that one transaction forgets: each may have tens of thousands of events."""
USAGE_AT_ONCE: Final = 5000
# Whatever belongs to a job, whoever added it, the farthest first.
_PARTS: Final = tuple(
    table
    for table in reversed(schema.metadata.sorted_tables)
    if any(key.column.table is TABLE for key in table.foreign_keys)
)


@dataclass(frozen=True)
class Keep:
    """How long what is over is kept; ``None`` is for ever.

    Attributes:
        jobs: jobs, with their events and artifacts, from their end on.
        usage: rows of usage.
    """

    jobs: timedelta | None = None
    usage: timedelta | None = None


async def forget_ended(connection: AsyncConnection, before: datetime, *, limit: int = JOBS_AT_ONCE) -> int:
    """Forget up to ``limit`` jobs that ended before a moment, with all that is theirs; return how many."""
    long_ago = (
        sa.select(TABLE.c.id)
        .where(TABLE.c.state.in_(FINAL), TABLE.c.ended_at < before)
        .order_by(TABLE.c.ended_at)
        .limit(limit)
    )
    ids = list(await connection.scalars(long_ago))
    if not ids:
        return 0
    for part in _PARTS:
        (key,) = (key.parent for key in part.foreign_keys if key.column.table is TABLE)
        await connection.execute(sa.delete(part).where(key.in_(ids)))
    await connection.execute(sa.delete(TABLE).where(TABLE.c.id.in_(ids)))
    return len(ids)


async def forget_usage(connection: AsyncConnection, before: datetime, *, limit: int = USAGE_AT_ONCE) -> int:
    """Forget up to ``limit`` rows of usage from before a moment; return how many. No budget reads them."""
    table = schema.model_usage
    old = sa.select(table.c.id).where(table.c.created_at < before).limit(limit)
    gone = await connection.execute(sa.delete(table).where(table.c.id.in_(old)))
    return int(gone.rowcount)
