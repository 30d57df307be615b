"""Letting go of what was captured long ago: on demand only, and never because a source has vanished.

What goes is what was said; that a session was, how far its files were read, and the ids of its events stay,
so that nothing comes back. It goes in small transactions: who is ended in the middle has let go of some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import enclosures, recordings, schema
from .database import Database

_SESSIONS = schema.conversations
_EVENTS = schema.conversation_events
_CLEANED = schema.cleaned_events
_SESSIONS_AT_ONCE: Final = 500
"""Sessions that are gone through together: most have few events."""
_AT_ONCE: Final = 1000
"""Events of one transaction: everybody else who writes waits for it."""


@dataclass(frozen=True)
class Cleaned:
    """How much is let go of, or would be."""

    sessions: int = 0
    events: int = 0
    recordings: int = 0


async def clean(
    database: Database,
    tenant: str,
    *,
    sessions_before: datetime | None,
    recordings_before: datetime | None,
    dry_run: bool,
) -> Cleaned:
    """Let go of sessions to which nothing has come since a time, and of recordings that ended before one.

    Sessions that are being recorded stay, with those of their sub-agents: what is written beside a recording
    is made anew from them. Files of recordings are their users'; none is touched. Images and documents go
    with the last event that names them.
    """
    sessions = events = ended = 0
    if sessions_before is not None:
        old = _old(tenant, sessions_before)
        async with database.read() as connection:
            ids = list(await connection.scalars(sa.select(_SESSIONS.c.id).where(*old)))
        for first in range(0, len(ids), _SESSIONS_AT_ONCE):
            part = ids[first : first + _SESSIONS_AT_ONCE]
            some, gone = await (_count if dry_run else _clean_sessions)(database, tenant, part, old)
            sessions, events = sessions + some, events + gone
    if recordings_before is not None:
        table = recordings.TABLE
        over = (
            table.c.tenant == tenant,
            table.c.state.not_in(recordings.WRITING),
            sa.func.coalesce(table.c.stopped_at, table.c.started_at) < recordings_before,
        )
        async with database.write() as connection:
            counted = sa.select(sa.func.count()).select_from(table).where(*over)
            ended = (await connection.execute(counted)).scalar_one()
            if not dry_run:
                await connection.execute(sa.delete(table).where(*over))
    if sessions_before is not None and not dry_run:
        # Also those that were left behind by somebody who was ended in the middle.
        await enclosures.forget_unnamed(database, tenant)
    return Cleaned(sessions, events, ended)


def _old(tenant: str, before: datetime) -> Sequence[sa.ColumnElement[bool]]:
    """Return what tells the sessions that go from all others."""
    table = recordings.TABLE
    busy = (
        sa.select(table.c.conversation_id.label("id"))
        .where(table.c.tenant == tenant, table.c.state.in_(recordings.WRITING))
        .cte("busy", recursive=True)
    )
    agents = sa.select(_SESSIONS.c.id).where(_SESSIONS.c.tenant == tenant, _SESSIONS.c.agent_id.is_not(None))
    busy = busy.union(agents.where(_SESSIONS.c.parent_id == busy.c.id))
    return (
        _SESSIONS.c.tenant == tenant,
        _SESSIONS.c.updated_at < before,
        _SESSIONS.c.events > _SESSIONS.c.cleaned,
        _SESSIONS.c.id.not_in(sa.select(busy.c.id)),
    )


async def _count(
    database: Database, tenant: str, ids: Sequence[str], _: Sequence[sa.ColumnElement[bool]]
) -> tuple[int, int]:
    """Return how many sessions and events would go."""
    counted = sa.select(sa.func.count()).select_from(_EVENTS)
    of_them = counted.where(_EVENTS.c.tenant == tenant, _EVENTS.c.conversation_id.in_(ids))
    async with database.read() as connection:
        return len(ids), (await connection.execute(of_them)).scalar_one()


async def _clean_sessions(
    database: Database, tenant: str, ids: Sequence[str], old: Sequence[sa.ColumnElement[bool]]
) -> tuple[int, int]:
    """Let go of some sessions; return how many they were, with how many events."""
    sessions, events = set[str](), 0
    while True:
        async with database.write() as connection:
            # Locked, and asked once more: something may have come to one, or it may be recorded by now.
            query = sa.select(_SESSIONS.c.id).where(_SESSIONS.c.id.in_(ids), *old).order_by(_SESSIONS.c.id)
            still = list(await connection.scalars(query.with_for_update()))
            gone, over = await _clean_some(connection, tenant, still)
        sessions |= gone.keys()
        events += sum(gone.values())
        if over:
            return len(sessions), events


async def _clean_some(
    connection: AsyncConnection, tenant: str, ids: Sequence[str]
) -> tuple[dict[str, int], bool]:
    """Let go of the next events of some sessions; return of how many of which, and whether that was all."""
    of_them = (_EVENTS.c.tenant == tenant, _EVENTS.c.conversation_id.in_(ids))
    query = sa.select(_EVENTS.c.key, _EVENTS.c.conversation_id, _EVENTS.c.number).where(*of_them)
    ordered = query.order_by(_EVENTS.c.conversation_id, _EVENTS.c.number).limit(_AT_ONCE + 1)
    *found, behind = *(await connection.execute(ordered)).all(), None
    if len(found) > _AT_ONCE:
        behind = found.pop()
    these = _EVENTS.c.key.in_([row.key for row in found])
    known = sa.exists().where(_CLEANED.c.tenant == _EVENTS.c.tenant, _CLEANED.c.id == _EVENTS.c.id)
    told = sa.select(_EVENTS.c.tenant, _EVENTS.c.id).where(these, ~known)
    await connection.execute(sa.insert(_CLEANED).from_select(["tenant", "id"], told))
    await connection.execute(sa.delete(_EVENTS).where(these))
    gone = dict(Counter(row.conversation_id for row in found))
    begun = None if behind is None else behind.conversation_id
    done = set(ids) if behind is None else gone.keys() - {begun}
    whole = {"cleaned": _SESSIONS.c.events, "obeyed": _SESSIONS.c.events, "title": None, "title_rank": 0}
    await connection.execute(sa.update(_SESSIONS).where(_SESSIONS.c.id.in_(done)).values(**whole))
    if begun in gone:
        # Something may come to it before the rest goes.
        last = sa.update(_SESSIONS).where(_SESSIONS.c.id == begun)
        await connection.execute(last.values(cleaned=found[-1].number))
    return (gone, False) if behind is not None else ({one: gone.get(one, 0) for one in ids}, True)
