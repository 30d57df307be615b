"""Letting go of what was captured long ago: on demand only, and never because a source has vanished.

What goes is what was said; that a session was, and how far its files were read, stays, so that nothing of it
comes back with the next look at them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import recordings, schema

_SESSIONS = schema.conversations
_EVENTS = schema.conversation_events
_AT_ONCE: Final = 1000
"""Sessions of one statement: Postgres takes 32,767 parameters in all."""


@dataclass(frozen=True)
class Cleaned:
    """How much is let go of, or would be."""

    sessions: int = 0
    events: int = 0
    recordings: int = 0


async def clean(
    connection: AsyncConnection,
    tenant: str,
    *,
    sessions_before: datetime | None,
    recordings_before: datetime | None,
    dry_run: bool,
) -> Cleaned:
    """Let go of sessions to which nothing has come since a time, and of recordings that ended before one.

    Sessions that are being recorded stay. Files of recordings are their users'; none is touched.
    """
    sessions = events = ended = 0
    if sessions_before is not None:
        busy = sa.select(recordings.TABLE.c.conversation_id).where(
            recordings.TABLE.c.tenant == tenant, recordings.TABLE.c.state.in_(recordings.WRITING)
        )
        old = (
            _SESSIONS.c.tenant == tenant,
            _SESSIONS.c.updated_at < sessions_before,
            _SESSIONS.c.events > _SESSIONS.c.cleaned,
            _SESSIONS.c.id.not_in(busy),
        )
        ids = list(await connection.scalars(sa.select(_SESSIONS.c.id).where(*old)))
        sessions = len(ids)
        for first in range(0, len(ids), _AT_ONCE):
            part = ids[first : first + _AT_ONCE]
            of_them = (_EVENTS.c.tenant == tenant, _EVENTS.c.conversation_id.in_(part))
            counted = sa.select(sa.func.count()).select_from(_EVENTS).where(*of_them)
            events += (await connection.execute(counted)).scalar_one()
            if not dry_run:
                await connection.execute(sa.delete(_EVENTS).where(*of_them))
                done = {
                    "cleaned": _SESSIONS.c.events,
                    "cleaned_until": _SESSIONS.c.last_at,
                    "obeyed": _SESSIONS.c.events,
                    "title": None,
                }
                await connection.execute(sa.update(_SESSIONS).where(_SESSIONS.c.id.in_(part)).values(**done))
    if recordings_before is not None:
        table = recordings.TABLE
        over = (
            table.c.tenant == tenant,
            table.c.state.not_in(recordings.WRITING),
            sa.func.coalesce(table.c.stopped_at, table.c.started_at) < recordings_before,
        )
        counted = sa.select(sa.func.count()).select_from(table).where(*over)
        ended = (await connection.execute(counted)).scalar_one()
        if not dry_run:
            await connection.execute(sa.delete(table).where(*over))
    return Cleaned(sessions, events, ended)
