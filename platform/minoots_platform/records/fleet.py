"""How capture stands: the hosts that capture, and everything at a glance for pages and terminals."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.sessions import CaptureHost, CaptureStatus, TroubledTranscript

from . import capture_hosts, recordings, schema, sessions
from .sessions import SessionFilter

_ALIVE: Final = timedelta(seconds=20)
_RECORDINGS: Final = 50
_SESSIONS: Final = 5
_TROUBLED: Final = 20


async def status(connection: AsyncConnection, tenant: str, now: datetime) -> CaptureStatus:
    """Return how everything stands at one moment."""
    table, files = schema.conversations, schema.recordings
    # Without those that were let go of: the list has them no more either.
    there = (table.c.tenant == tenant, table.c.events > table.c.cleaned)
    kept = sa.func.coalesce(sa.func.sum(table.c.events - table.c.cleaned), 0)
    many, said = (await connection.execute(sa.select(sa.func.count(), kept).where(*there))).one()
    states = sa.select(files.c.state, sa.func.count().label("many")).where(files.c.tenant == tenant)
    found = await connection.execute(states.group_by(files.c.state))
    writing = await sessions.recordings_page(
        connection, tenant, session_id=None, states=recordings.WRITING, limit=_RECORDINGS, cursor=None
    )
    recent = await sessions.page(connection, tenant, SessionFilter(), limit=_SESSIONS, cursor=None)
    return CaptureStatus(
        at=now,
        hosts=await hosts(connection, tenant, now),
        sessions=many,
        events=said,
        recordings={row.state: row.many for row in found},
        recording=writing.items,
        troubled=await _troubled(connection, tenant),
        recent=recent.items,
    )


async def hosts(connection: AsyncConnection, tenant: str, now: datetime) -> tuple[CaptureHost, ...]:
    """Return the hosts that capture, each with what the records know of it."""
    files = schema.transcripts
    about_files = {
        row.host: row
        for row in await connection.execute(
            sa.select(
                files.c.host,
                sa.func.count().label("transcripts"),
                sa.func.count(sa.distinct(files.c.conversation_id)).label("sessions"),
                sa.func.count(files.c.problem).label("troubled"),
            )
            .where(files.c.tenant == tenant)
            .group_by(files.c.host)
        )
    }
    found = []
    for row in await capture_hosts.all_of(connection, tenant):
        about = about_files.get(row.host)
        found.append(
            CaptureHost(
                host=row.host,
                version=row.version,
                started_at=row.started_at,
                seen_at=row.seen_at,
                alive=now - row.seen_at < _ALIVE,
                status=row.status,
                sessions=about.sessions if about else 0,
                transcripts=about.transcripts if about else 0,
                troubled=about.troubled if about else 0,
                behind=len(await recordings.behind(connection, tenant, row.host, 1000)),
            )
        )
    return tuple(found)


async def _troubled(connection: AsyncConnection, tenant: str) -> tuple[TroubledTranscript, ...]:
    files = schema.transcripts
    wrong = sa.func.coalesce(files.c.problem, files.c.told)
    query = (
        sa.select(
            files.c.host, files.c.path, files.c.provider, files.c.conversation_id, wrong.label("problem")
        )
        .where(files.c.tenant == tenant, wrong.is_not(None))
        .order_by(files.c.read_at.desc())
        .limit(_TROUBLED)
    )
    return tuple(
        TroubledTranscript(
            host=row.host,
            path=row.path,
            provider=row.provider,
            session_id=row.conversation_id,
            problem=row.problem,
        )
        for row in await connection.execute(query)
    )
