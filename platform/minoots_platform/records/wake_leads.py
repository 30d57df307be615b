"""How early timers have to wake, as the workers observe it; read by whoever arms one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema

FRESH_FOR: Final = timedelta(seconds=60)
"""An older observation says nothing of the load at present."""


async def report(
    connection: AsyncConnection, worker: str, *, lead: timedelta, observed: timedelta, now: datetime
) -> None:
    """Keep what ``worker`` observes."""
    table = schema.wake_leads
    await connection.execute(
        sa.delete(table).where((table.c.worker == worker) | (table.c.updated_at < now - FRESH_FOR))
    )
    await connection.execute(
        sa.insert(table).values(
            worker=worker,
            lead_ms=round(lead.total_seconds() * 1000),
            observed_ms=observed.total_seconds() * 1000,
            updated_at=now,
        )
    )


async def current(connection: AsyncConnection, now: datetime) -> timedelta | None:
    """Return the longest lead that a worker asked for lately, or ``None`` when none did."""
    table = schema.wake_leads
    query = sa.select(sa.func.max(table.c.lead_ms)).where(table.c.updated_at >= now - FRESH_FOR)
    lead_ms = (await connection.execute(query)).scalar()
    return None if lead_ms is None else timedelta(milliseconds=lead_ms)
