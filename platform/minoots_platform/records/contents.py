"""Contents by the SHA-256 of their bytes, in pieces: the same bytes of one tenant are kept once.

Owns bytes and hashes; what a content is called and to whom it belongs is told by whoever names it. Pieces are
written in small transactions of their own, and a content counts only when all of them are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure, FailureKind

from . import schema
from .database import Database
from .inserting import insert_new
from .staging import PIECE

TABLE: Final = schema.contents
_PIECES: Final = schema.content_pieces

LEFT_FOR: Final = timedelta(days=1)
"""After this long, a content that no job names, now or later, is forgotten: it was handed in for none."""
FORGOTTEN_AT_ONCE: Final = 100
"""Contents that one transaction forgets."""
Charge = Callable[[AsyncConnection, int], Awaitable[None]]
"""Counts bytes against a quota, or refuses them."""
_AT_ONCE: Final = 500
"""Contents that one statement reads."""


def sha256_of(data: bytes) -> str:
    """Return by what ``data`` is known."""
    return hashlib.sha256(data).hexdigest()


async def keep(
    database: Database, tenant: str, data: bytes, now: datetime, charge: Charge | None = None
) -> str:
    """Keep ``data``, unless it is kept already; return its hash. May be repeated, also after a crash.

    ``charge`` is called in the transaction that takes in what is new; what it raises, nothing of it is kept.
    """
    sha256 = sha256_of(data)
    key = {"tenant": tenant, "sha256": sha256}
    async with database.write() as connection:
        fresh = {**key, "bytes": len(data), "ready": not data, "created_at": now}
        if await insert_new(connection, TABLE, fresh):
            if charge is not None:
                await charge(connection, len(data))
        else:
            # Wanted again: it is not forgotten before whoever wants it now has named it.
            touched = sa.update(TABLE).where(*_is(tenant, sha256)).values(created_at=now).returning(TABLE)
            if (await connection.execute(touched)).one().ready:
                return sha256
    for number, begin in enumerate(range(0, len(data), PIECE)):
        piece = {**key, "number": number, "data": data[begin : begin + PIECE]}
        async with database.write() as connection:
            await insert_new(connection, _PIECES, piece)
    async with database.write() as connection:
        await connection.execute(sa.update(TABLE).where(*_is(tenant, sha256)).values(ready=True))
    return sha256


async def put(connection: AsyncConnection, tenant: str, data: bytes, now: datetime) -> str:
    """Keep ``data`` in a transaction that does more: for what is small. Return its hash."""
    sha256 = sha256_of(data)
    key = {"tenant": tenant, "sha256": sha256}
    fresh = {**key, "bytes": len(data), "ready": True, "created_at": now}
    if not await insert_new(connection, TABLE, fresh):
        again = sa.update(TABLE).where(*_is(tenant, sha256)).values(created_at=now, ready=True)
        await connection.execute(again)
    for number, begin in enumerate(range(0, len(data), PIECE)):
        await insert_new(connection, _PIECES, {**key, "number": number, "data": data[begin : begin + PIECE]})
    return sha256


async def read_many(database: Database, tenant: str, wanted: Collection[str]) -> dict[str, bytes]:
    """Return contents by their hashes.

    Raises:
        Failure: not_found, when one is not kept; bug, when one is not what was kept.
    """
    found: dict[str, list[bytes]] = {}
    every = sorted(set(wanted))
    async with database.read() as connection:
        for begin in range(0, len(every), _AT_ONCE):
            some = every[begin : begin + _AT_ONCE]
            ready = sa.select(TABLE.c.sha256).where(
                TABLE.c.tenant == tenant, TABLE.c.sha256.in_(some), TABLE.c.ready
            )
            found |= {sha256: [] for sha256 in await connection.scalars(ready)}
            query = sa.select(_PIECES.c.sha256, _PIECES.c.data).where(
                _PIECES.c.tenant == tenant, _PIECES.c.sha256.in_(some)
            )
            for row in await connection.execute(query.order_by(_PIECES.c.sha256, _PIECES.c.number)):
                if row.sha256 in found:
                    found[row.sha256].append(row.data)
    whole = {sha256: b"".join(pieces) for sha256, pieces in found.items()}
    for sha256 in every:
        if sha256 not in whole:
            raise _unknown(sha256)
        if sha256_of(whole[sha256]) != sha256:
            raise _damaged(sha256)
    return whole


async def size(connection: AsyncConnection, tenant: str, sha256: str) -> int:
    """Return how many bytes a content has.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.select(TABLE.c.bytes).where(*_is(tenant, sha256), TABLE.c.ready)
    found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise _unknown(sha256)
    return int(found)


async def read(database: Database, tenant: str, sha256: str) -> bytes:
    """Return a content.

    Raises:
        Failure: not_found, also for another tenant's; bug, when it is not what was kept.
    """
    async with database.read() as connection:
        await size(connection, tenant, sha256)
        query = sa.select(_PIECES.c.data).where(_PIECES.c.tenant == tenant, _PIECES.c.sha256 == sha256)
        pieces = await connection.scalars(query.order_by(_PIECES.c.number))
        data = b"".join(pieces)
    if sha256_of(data) != sha256:
        raise _damaged(sha256)
    return data


async def require(connection: AsyncConnection, tenant: str, wanted: Collection[str], now: datetime) -> None:
    """Refuse hashes of contents that are not kept, and keep the others from being forgotten.

    Raises:
        Failure: invalid, naming the first one.
    """
    if not wanted:
        return
    mine = (TABLE.c.tenant == tenant, TABLE.c.sha256.in_(wanted), TABLE.c.ready)
    # Touched, not only looked at: one that is old enough to be forgotten is not, from here on. Locked in
    # order, lest two that want the same contents wait for one another.
    found = sa.select(TABLE.c.sha256).where(*mine).order_by(TABLE.c.sha256).with_for_update()
    touched = sa.update(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.sha256.in_(found), TABLE.c.ready)
    known = set(await connection.scalars(touched.values(created_at=now).returning(TABLE.c.sha256)))
    for sha256 in wanted:
        if sha256 not in known:
            raise Failure(
                FailureKind.INVALID,
                f"there is no content {sha256}",
                remedy="Hand it in first: POST /v1/artifacts.",
            )


async def forget_unnamed(
    connection: AsyncConnection, now: datetime, *, limit: int = FORGOTTEN_AT_ONCE
) -> int:
    """Forget up to ``limit`` contents of long ago that no job or sandbox names, or will; return how many."""
    named = schema.job_artifacts
    inputs = schema.job_inputs
    holds = schema.content_holds
    snapshots = schema.sandbox_contents
    unnamed = (
        TABLE.c.created_at < now - LEFT_FOR,
        ~sa.exists().where(named.c.tenant == TABLE.c.tenant, named.c.sha256 == TABLE.c.sha256),
        ~sa.exists().where(inputs.c.tenant == TABLE.c.tenant, inputs.c.sha256 == TABLE.c.sha256),
        ~sa.exists().where(snapshots.c.tenant == TABLE.c.tenant, snapshots.c.sha256 == TABLE.c.sha256),
        ~sa.exists().where(holds.c.tenant == TABLE.c.tenant, holds.c.sha256 == TABLE.c.sha256),
    )
    found = (
        await connection.execute(sa.select(TABLE.c.tenant, TABLE.c.sha256).where(*unnamed).limit(limit))
    ).all()
    gone = 0
    for row in found:
        # Asked for once more: somebody may have wanted it in between. The pieces go only when it has gone.
        forgotten = sa.delete(TABLE).where(*_is(row.tenant, row.sha256), *unnamed).returning(TABLE.c.sha256)
        if (await connection.execute(forgotten)).one_or_none() is None:
            continue
        await connection.execute(
            sa.delete(_PIECES).where(_PIECES.c.tenant == row.tenant, _PIECES.c.sha256 == row.sha256)
        )
        gone += 1
    return gone


def _is(tenant: str, sha256: str) -> tuple[sa.ColumnElement[bool], ...]:
    return TABLE.c.tenant == tenant, TABLE.c.sha256 == sha256


def _damaged(sha256: str) -> Failure:
    return Failure(FailureKind.BUG, f"the content {sha256} is damaged", remedy="Hand it in again.")


def _unknown(sha256: str) -> Failure:
    return Failure(
        FailureKind.NOT_FOUND,
        f"there is no content {sha256}",
        remedy="GET /v1/jobs/{id}/artifacts lists what a job has made.",
    )
