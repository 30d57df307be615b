"""What tenants hand in, and how much of it in a day.

Owns the count of bytes by tenant and day (UTC). The bytes themselves are `contents`'; what jobs make is not
handed in, and has bounds of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure, FailureKind

from . import contents, schema
from .database import Database
from .inserting import insert_new

TABLE: Final = schema.handed_in
_KEPT: Final = timedelta(days=2)
"""How long a day is remembered: clocks of machines differ."""


async def keep(database: Database, tenant: str, data: bytes, most: int, now: datetime) -> str:
    """Keep what a tenant hands in; return its hash. See `contents.keep`.

    Raises:
        Failure: throttled, when it would be more than ``most`` bytes of the day.
    """
    charge = partial(_charge, tenant=tenant, most=most, now=now)
    return await contents.keep(database, tenant, data, now, charge)


async def _charge(connection: AsyncConnection, size: int, *, tenant: str, most: int, now: datetime) -> None:
    day = now.astimezone(UTC).date()
    mine = (TABLE.c.tenant == tenant, TABLE.c.day == day.isoformat())
    if await insert_new(connection, TABLE, {"tenant": tenant, "day": day.isoformat(), "bytes": 0}):
        before = (day - _KEPT).isoformat()
        await connection.execute(sa.delete(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.day < before))
    # Looked at and taken in one statement: whoever else hands in waits for this transaction.
    taken = sa.update(TABLE).where(*mine, TABLE.c.bytes <= most - size).values(bytes=TABLE.c.bytes + size)
    if (await connection.execute(taken.returning(TABLE.c.bytes))).one_or_none() is not None:
        return
    used = (await connection.execute(sa.select(TABLE.c.bytes).where(*mine))).scalar_one()
    tomorrow = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    raise Failure(
        FailureKind.THROTTLED,
        f"{used} bytes were handed in today (UTC); {size} more would be over the {most} of a day",
        remedy="Go on tomorrow, name what is kept already by its hash, or have the operator raise "
        "jobs.tenant_day_bytes.",
        retry_after=max(1, round((tomorrow - now).total_seconds())),
    )
