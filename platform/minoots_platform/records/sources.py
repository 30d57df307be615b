"""Sources: files and texts that were taken in, to read and to remove."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Chunk, EventType, Page, Source, SourceVersion
from minoots.errors import Failure, FailureKind

from . import events, schema
from .paging import newest_first

TABLE: Final = schema.sources
_MANY: Final = 200
VERSIONS: Final = schema.source_versions
TEXTS: Final = schema.source_texts
CHUNKS: Final = schema.source_chunks

_OF_VERSION: Final = (VERSIONS.c.sha256, VERSIONS.c.bytes, VERSIONS.c.media_type)
_OF_TEXT: Final = (TEXTS.c.characters, TEXTS.c.chunks, TEXTS.c.redacted, TEXTS.c.found)


async def get(connection: AsyncConnection, tenant: str, source_id: str) -> Source:
    """Return a source with its newest version.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = _whole().where(TABLE.c.tenant == tenant, TABLE.c.id == source_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise _missing(source_id)
    return _view(row)


async def page(
    connection: AsyncConnection, tenant: str, *, prefix: str | None, limit: int, cursor: str | None
) -> Page[Source]:
    """Return one page of sources, those that changed last first; of a ``prefix``, those below it."""
    query = _whole().where(TABLE.c.tenant == tenant)
    if prefix is not None:
        # No LIKE: on SQLite it takes small letters for large ones.
        query = query.where(sa.func.substr(TABLE.c.name, 1, len(prefix)) == prefix)
    return await newest_first(
        connection, query, TABLE.c.updated_at, "sources", _view, limit=limit, cursor=cursor
    )


async def versions(
    connection: AsyncConnection, tenant: str, source_id: str, *, before: int | None, limit: int
) -> Page[SourceVersion]:
    """Return one page of a source's versions, the newest first.

    Raises:
        Failure: not_found.
    """
    await get(connection, tenant, source_id)
    names = (VERSIONS.c.number, VERSIONS.c.ingest_id, VERSIONS.c.chunks_new, VERSIONS.c.created_at)
    query = (
        sa.select(*names, *_OF_VERSION, *_OF_TEXT)
        .join(TEXTS, TEXTS.c.id == VERSIONS.c.text_id)
        .where(VERSIONS.c.tenant == tenant, VERSIONS.c.source_id == source_id)
        .order_by(VERSIONS.c.number.desc())
    )
    if before is not None:
        query = query.where(VERSIONS.c.number < before)
    rows = (await connection.execute(query.limit(limit + 1))).all()
    cursor = str(rows[limit - 1].number) if len(rows) > limit else None
    found = tuple(SourceVersion.model_validate(row, from_attributes=True) for row in rows[:limit])
    return Page[SourceVersion](items=found, next_cursor=cursor)


async def chunks(
    connection: AsyncConnection,
    tenant: str,
    source_id: str,
    *,
    version: int | None,
    after: int,
    limit: int,
) -> Page[Chunk]:
    """Return one page of the chunks of a version, or of the newest, in order.

    Raises:
        Failure: not_found.
    """
    query = sa.select(VERSIONS.c.text_id).where(
        VERSIONS.c.tenant == tenant, VERSIONS.c.source_id == source_id
    )
    if version is not None:
        query = query.where(VERSIONS.c.number == version)
    text_id = (
        await connection.execute(query.order_by(VERSIONS.c.number.desc()).limit(1))
    ).scalar_one_or_none()
    if text_id is None:
        raise _missing(source_id if version is None else f"{source_id} in version {version}")
    wanted = sa.select(CHUNKS).where(CHUNKS.c.text_id == text_id, CHUNKS.c.number > after)
    rows = (await connection.execute(wanted.order_by(CHUNKS.c.number).limit(limit + 1))).all()
    cursor = str(rows[limit - 1].number) if len(rows) > limit else None
    found = tuple(Chunk.model_validate(row, from_attributes=True) for row in rows[:limit])
    return Page[Chunk](items=found, next_cursor=cursor)


async def remove(
    connection: AsyncConnection, tenant: str, source_id: str, *, now: datetime, actor: str
) -> None:
    """Remove a source with all of its versions, and the texts that no other source has.

    Raises:
        Failure: not_found.
    """
    mine = (TABLE.c.tenant == tenant, TABLE.c.id == source_id)
    await connection.execute(sa.select(TABLE.c.id).where(*mine).with_for_update())
    gone = await get(connection, tenant, source_id)
    of_it = VERSIONS.c.source_id == source_id
    texts = list(await connection.scalars(sa.select(VERSIONS.c.text_id).where(of_it).distinct()))
    await connection.execute(sa.delete(VERSIONS).where(of_it))
    await connection.execute(sa.delete(TABLE).where(TABLE.c.id == source_id))
    await forget_texts(connection, texts)
    told = {"name": gone.name, "version": gone.version, "by": actor}
    new = events.NewEvent(EventType.SOURCE_REMOVED, source_id, now, told, gone.labels)
    await events.append(connection, tenant, [new])


async def forget_unused(connection: AsyncConnection, before: datetime) -> None:
    """Let go of texts that were begun before a time and that no version has: whoever made them died."""
    used = sa.select(VERSIONS.c.text_id)
    query = sa.select(TEXTS.c.id).where(TEXTS.c.created_at < before, TEXTS.c.id.not_in(used)).limit(_MANY)
    await forget_texts(connection, list(await connection.scalars(query)))


async def forget_texts(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Let go of texts that no version has any more."""
    # Locked: a version that is being made of one of them waits, and finds it gone.
    await connection.execute(sa.select(TEXTS.c.id).where(TEXTS.c.id.in_(ids)).with_for_update())
    used = sa.select(VERSIONS.c.text_id).where(VERSIONS.c.text_id.in_(ids))
    unused = sa.select(TEXTS.c.id).where(TEXTS.c.id.in_(ids), TEXTS.c.id.not_in(used))
    left = list(await connection.scalars(unused))
    await connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.text_id.in_(left)))
    await connection.execute(sa.delete(TEXTS).where(TEXTS.c.id.in_(left)))


def _whole() -> sa.Select[Any]:
    newest = sa.and_(VERSIONS.c.source_id == TABLE.c.id, VERSIONS.c.number == TABLE.c.version)
    return (
        sa.select(TABLE, *_OF_VERSION, *_OF_TEXT)
        .join(VERSIONS, newest)
        .join(TEXTS, TEXTS.c.id == VERSIONS.c.text_id)
    )


def _view(row: sa.Row[Any]) -> Source:
    names = [name for name in Source.model_fields if name != "metadata"]
    return Source(**{name: getattr(row, name) for name in names}, metadata=row.meta)


def _missing(what: str) -> Failure:
    return Failure(FailureKind.NOT_FOUND, f"there is no source {what}", remedy="GET /v1/sources lists them.")
