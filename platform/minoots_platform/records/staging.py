"""What was sent to be taken in, in sealed pieces, from when it comes until it has been read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema
from .database import Database

TABLE: Final = schema.ingest_pieces

PIECE: Final = 256 * 1024
"""Bytes of one: the transaction that keeps it holds others up for a millisecond or two."""

LEFT_FOR: Final = timedelta(hours=1)
"""After this long, pieces without an ingest are those of a gateway that died."""


async def keep(
    connection: AsyncConnection,
    tenant: str,
    ingest_id: str,
    *,
    file: int,
    number: int,
    sealed: bytes,
    now: datetime,
) -> None:
    """Keep one piece of a file."""
    values = {"ingest_id": ingest_id, "file": file, "number": number, "tenant": tenant}
    await connection.execute(sa.insert(TABLE).values(**values, sealed=sealed, created_at=now))


async def pieces(database: Database, tenant: str, ingest_id: str, file: int) -> AsyncIterator[bytes]:
    """Yield the sealed pieces of a file, one at a time."""
    number = 0
    query = sa.select(TABLE.c.sealed).where(
        TABLE.c.tenant == tenant, TABLE.c.ingest_id == ingest_id, TABLE.c.file == file
    )
    while True:
        async with database.read() as connection:
            found = (await connection.execute(query.where(TABLE.c.number == number))).scalar_one_or_none()
        if found is None:
            return
        yield found
        number += 1


async def forget(connection: AsyncConnection, ingest_id: str, file: int | None = None) -> None:
    """Let go of the pieces of an ingest, or of one of its files."""
    gone = sa.delete(TABLE).where(TABLE.c.ingest_id == ingest_id)
    await connection.execute(gone if file is None else gone.where(TABLE.c.file == file))


async def forget_unaccepted(connection: AsyncConnection, ingest_id: str) -> None:
    """Let go of pieces whose ingest was not made."""
    known = sa.select(schema.ingests.c.id)
    await connection.execute(
        sa.delete(TABLE).where(TABLE.c.ingest_id == ingest_id, TABLE.c.ingest_id.not_in(known))
    )


async def forget_left(connection: AsyncConnection, now: datetime) -> int:
    """Let go of pieces that were sent long ago and belong to no ingest; return how many."""
    known = sa.select(schema.ingests.c.id)
    old = (TABLE.c.created_at < now - LEFT_FOR, TABLE.c.ingest_id.not_in(known))
    return int((await connection.execute(sa.delete(TABLE).where(*old))).rowcount)
