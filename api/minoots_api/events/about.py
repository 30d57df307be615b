"""What happened to one thing, as its own route answers it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Event, Page
from minoots_platform.records import events

After = Annotated[int, Query(ge=0, le=2**62, description="`next_cursor` of the page before.")]


async def events_about(
    connection: AsyncConnection, tenant: str, subject: str, *, after: int, limit: int
) -> Page[Event]:
    """Return one page of the events about ``subject``, the oldest first."""
    wanted = events.EventFilter(subject=subject)
    page = await events.read(connection, tenant, after=after, limit=limit, wanted=wanted)
    return Page[Event](items=page.events, next_cursor=str(page.position) if page.more else None)
