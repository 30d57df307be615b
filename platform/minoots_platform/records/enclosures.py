"""Images and documents that came with messages: their bytes once, by hash, as long as an event names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.conversations import Enclosed

from . import schema
from .database import Database
from .inserting import insert_new

TABLE = schema.blobs
LARGEST: Final = 20 * 1024 * 1024
"""Bytes of an image or document that are kept; of a larger one, only what it was."""
_EVENTS = schema.conversation_events
_SESSIONS = schema.conversations
_AT_ONCE: Final = 500
"""Rows of one statement."""


async def keep_enclosures(
    connection: AsyncConnection, tenant: str, enclosures: Mapping[Enclosed, bytes], now: datetime
) -> None:
    """Keep the bytes of images and documents until the transaction ends, then as long as events name them."""
    # In one order: two that keep the same ones cannot wait for each other.
    for about, data in sorted(enclosures.items(), key=lambda one: one[0].sha256):
        if len(data) > LARGEST:
            continue
        # The same bytes are kept once, whatever they came with.
        row = about.model_dump() | {"tenant": tenant, "data": data, "created_at": now}
        while not await insert_new(connection, TABLE, row):
            # Held: else somebody who does not see our event yet could let go of them.
            there = sa.select(TABLE.c.sha256).where(TABLE.c.tenant == tenant, TABLE.c.sha256 == about.sha256)
            held = there.with_for_update(read=True, key_share=True)
            if (await connection.execute(held)).one_or_none() is not None:
                break


async def enclosure(connection: AsyncConnection, tenant: str, sha256: str) -> bytes | None:
    """Return the bytes of an image or document; ``None`` for those that were not kept."""
    query = sa.select(TABLE.c.data).where(TABLE.c.tenant == tenant, TABLE.c.sha256 == sha256)
    found: bytes | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def forget_unnamed(database: Database, tenant: str) -> int:
    """Let go of the bytes that no event names any more; return of how many images and documents.

    All events are looked through before anybody has to wait, and what has come meanwhile once more.
    """
    async with database.read() as connection:
        kept = set(await connection.scalars(sa.select(TABLE.c.sha256).where(TABLE.c.tenant == tenant)))
        if not kept:
            return 0
        # First: what comes while the events are looked through makes these others.
        before = await _standing(connection, tenant)
        unnamed = kept - await _named(connection, tenant)
    if not unnamed:
        return 0
    async with database.write() as connection:
        # First: whoever holds one of them is about to keep an event that names it, which is seen then.
        kept_here = sa.select(TABLE.c.sha256).where(TABLE.c.tenant == tenant).order_by(TABLE.c.sha256)
        gone = sorted(unnamed)
        for first in range(0, len(gone), _AT_ONCE):
            part = gone[first : first + _AT_ONCE]
            await connection.execute(kept_here.where(TABLE.c.sha256.in_(part)).with_for_update())
        after = await _standing(connection, tenant)
        changed = [one for one, stands in after.items() if before.get(one) != stands]
        for first in range(0, len(changed), _AT_ONCE):
            unnamed -= await _named(connection, tenant, changed[first : first + _AT_ONCE])
        gone = sorted(unnamed)
        for first in range(0, len(gone), _AT_ONCE):
            of_them = TABLE.c.sha256.in_(gone[first : first + _AT_ONCE])
            await connection.execute(sa.delete(TABLE).where(TABLE.c.tenant == tenant, of_them))
    return len(gone)


async def _standing(connection: AsyncConnection, tenant: str) -> dict[str, tuple[int, int]]:
    """Return of every conversation how many events it has, and how often they were revised."""
    query = sa.select(_SESSIONS.c.id, _SESSIONS.c.events, _SESSIONS.c.revised)
    rows = await connection.execute(query.where(_SESSIONS.c.tenant == tenant))
    return {row.id: (row.events, row.revised) for row in rows}


async def _named(
    connection: AsyncConnection, tenant: str, conversations: Iterable[str] | None = None
) -> set[str]:
    """Return the hashes that events name, of all conversations or of some."""
    where = [_EVENTS.c.tenant == tenant, sa.cast(_EVENTS.c.body, sa.Text).contains('"enclosed"')]
    if conversations is not None:
        where.append(_EVENTS.c.conversation_id.in_(list(conversations)))
    query = sa.select(_EVENTS.c.key, _EVENTS.c.body).where(*where).order_by(_EVENTS.c.key).limit(_AT_ONCE)
    found: set[str] = set()
    last = -1
    while True:
        rows = (await connection.execute(query.where(_EVENTS.c.key > last))).all()
        for row in rows:
            found |= {one["sha256"] for one in _enclosed(row.body)}
        if len(rows) < _AT_ONCE:
            return found
        last = rows[-1].key


def _enclosed(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(body.get("enclosed", ()))
