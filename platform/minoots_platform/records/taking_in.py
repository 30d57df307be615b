"""Taking a file in: its text with its chunks, then the version of its source, each kept once.

The chunks of a large text are kept in parts, each a transaction of its own that may be repeated; they are
there for others only with the version, which is made with everything that is told about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Chunk, EventType, FileState
from minoots_platform.ids import derived_id

from . import events, schema, sources, staging
from .inserting import insert_new

_FILES: Final = schema.ingest_files
_INGESTS: Final = schema.ingests
_SOURCES: Final = schema.sources
_VERSIONS: Final = schema.source_versions
_TEXTS: Final = schema.source_texts
_CHUNKS: Final = schema.source_chunks


@dataclass(frozen=True)
class FileToTake:
    """A file that waits."""

    tenant: str
    ingest_id: str
    number: int
    name: str
    about: dict[str, Any]
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Text:
    """What was found in some bytes, without its chunks."""

    title: str | None
    characters: int
    chunks: int
    redacted: int
    found: dict[str, Any] = field(default_factory=dict)


async def file(
    connection: AsyncConnection, tenant: str, ingest_id: str, number: int
) -> FileToTake | FileState | None:
    """Return a file that waits, or what became of it; ``None`` where there is none."""
    query = sa.select(_FILES).where(
        _FILES.c.tenant == tenant, _FILES.c.ingest_id == ingest_id, _FILES.c.number == number
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    if row.state != FileState.WAITING.value:
        return FileState(row.state)
    return FileToTake(tenant, ingest_id, number, row.name, row.about, row.bytes, row.sha256)


def text_id(tenant: str, sha256: str, pipeline: str) -> str:
    """Return the id of the text that a pipeline finds in some bytes."""
    return derived_id("src", "text", tenant, sha256, pipeline)


async def is_known(connection: AsyncConnection, text: str) -> bool:
    """Tell whether a text is kept with all of its chunks."""
    query = sa.select(_TEXTS.c.id).where(_TEXTS.c.id == text, _TEXTS.c.ready)
    return (await connection.execute(query)).first() is not None


async def begin_text(
    connection: AsyncConnection, id: str, file: FileToTake, pipeline: str, text: Text, now: datetime
) -> None:
    """Keep a text, chunks to follow."""
    row = {
        "id": id,
        "tenant": file.tenant,
        "sha256": file.sha256,
        "pipeline": pipeline,
        "ready": False,
        "title": text.title and text.title[:500],
        "characters": text.characters,
        "chunks": text.chunks,
        "redacted": text.redacted,
        "found": text.found,
        "created_at": now,
    }
    if not await insert_new(connection, _TEXTS, row):
        # Somebody has begun it and broken off; once it is ready, it is what others see, and stays.
        unready = (_TEXTS.c.id == id, sa.not_(_TEXTS.c.ready))
        await connection.execute(sa.update(_TEXTS).where(*unready).values(**row))


async def keep_chunks(connection: AsyncConnection, text: str, chunks: Sequence[Chunk]) -> bool:
    """Keep some chunks of a text; those of an attempt that broke off are written over.

    Return whether there is a text that lacks them: another may have kept or removed it meanwhile.
    """
    begun = await _locked(connection, _TEXTS, text)
    if begun is None or begun.ready:
        return False
    rows = [{"text_id": text, **chunk.model_dump(), "headings": list(chunk.headings)} for chunk in chunks]
    insert: sqlite.Insert | postgresql.Insert
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(_CHUNKS)
    fresh = {name: insert.excluded[name] for name in rows[0] if name not in ("text_id", "number")}
    await connection.execute(
        insert.on_conflict_do_update(index_elements=["text_id", "number"], set_=fresh), rows
    )
    return True


async def settle(
    connection: AsyncConnection,
    file: FileToTake,
    text: str,
    *,
    media_type: str,
    default_title: str,
    now: datetime,
) -> FileState | None:
    """Make the text the newest version of the file's source, and tell what became of the file.

    Returns:
        ``None`` when the text was removed meanwhile, or lacks chunks: it is to be made anew.
    """
    waiting = await _lock_file(connection, file)
    if waiting is None:
        await sources.forget_texts(connection, [text])
        return FileState.CANCELLED
    # The source before the text, as whoever removes one does.
    source = await _locked(connection, _SOURCES, waiting.source_id)
    found = await _locked(connection, _TEXTS, text)
    if found is None or not await _is_whole(connection, found):
        return None
    ingest = (await connection.execute(sa.select(_INGESTS).where(_INGESTS.c.id == file.ingest_id))).one()
    done: dict[str, Any] = {"redacted": found.redacted}
    if source is not None and source.sent_at > ingest.created_at:
        await sources.forget_texts(connection, [text])
        return await _end_file(connection, file, FileState.SUPERSEDED, now, **done)
    await _make_ready(connection, found)
    known = {
        "title": (file.about["title"] or found.title or default_title)[:500],
        "labels": file.about["labels"],
        "meta": file.about["metadata"],
        "sent_at": ingest.created_at,
    }
    before = None if source is None else await _text_of(connection, source)
    if source is not None and before == text:
        await _note(connection, source, known, media_type, now)
        done |= {"version": source.version, "chunks": found.chunks, "chunks_new": 0}
        return await _end_file(connection, file, FileState.UNCHANGED, now, **done)
    new = await _new_chunks(connection, text, before)
    number = await _next_version(connection, file, waiting.source_id, source, known, now)
    version = {
        "source_id": waiting.source_id,
        "number": number,
        "tenant": file.tenant,
        "text_id": text,
        "ingest_id": file.ingest_id,
        "media_type": media_type,
        "sha256": file.sha256,
        "bytes": file.bytes,
        "chunks_new": new,
        "created_at": now,
    }
    await connection.execute(sa.insert(_VERSIONS).values(**version))
    state = FileState.CREATED if source is None else FileState.UPDATED
    done |= {"version": number, "chunks": found.chunks, "chunks_new": new}
    await _end_file(connection, file, state, now, **done)
    kind = EventType.SOURCE_CREATED if source is None else EventType.SOURCE_UPDATED
    data = {"name": file.name, "ingest_id": file.ingest_id, "media_type": media_type, **done}
    told = events.NewEvent(kind, waiting.source_id, now, data, file.about["labels"], ingest.traceparent)
    await events.append(connection, file.tenant, [told])
    return state


async def fail(
    connection: AsyncConnection, file: FileToTake, problem: str, remedy: str | None, now: datetime
) -> FileState:
    """Tell that a file cannot be read."""
    waiting = await _lock_file(connection, file)
    if waiting is None:
        return FileState.CANCELLED
    await _end_file(connection, file, FileState.FAILED, now, problem=problem, remedy=remedy)
    data = {"name": file.name, "ingest_id": file.ingest_id, "problem": problem, "remedy": remedy}
    new = events.NewEvent(EventType.SOURCE_FAILED, waiting.source_id, now, data, file.about["labels"])
    await events.append(connection, file.tenant, [new])
    return FileState.FAILED


async def _lock_file(connection: AsyncConnection, file: FileToTake) -> sa.Row[Any] | None:
    """Return the row of a file if it waits still."""
    query = sa.select(_FILES).where(
        _FILES.c.ingest_id == file.ingest_id,
        _FILES.c.number == file.number,
        _FILES.c.state == FileState.WAITING.value,
    )
    return (await connection.execute(query.with_for_update())).one_or_none()


async def _end_file(
    connection: AsyncConnection, file: FileToTake, state: FileState, now: datetime, **values: Any
) -> FileState:
    mine = (_FILES.c.ingest_id == file.ingest_id, _FILES.c.number == file.number)
    ended = {"state": state.value, "ended_at": now, **values}
    await connection.execute(sa.update(_FILES).where(*mine).values(**ended))
    # What was sent is not kept: it has the secrets that were taken out of the text.
    await staging.forget(connection, file.ingest_id, file.number)
    return state


async def _locked(connection: AsyncConnection, table: sa.Table, id: str) -> sa.Row[Any] | None:
    return (
        await connection.execute(sa.select(table).where(table.c.id == id).with_for_update())
    ).one_or_none()


async def _is_whole(connection: AsyncConnection, text: sa.Row[Any]) -> bool:
    """Tell whether every chunk of a text is there: another may have begun it anew after we kept ours."""
    if text.ready:
        return True
    mine = (_CHUNKS.c.text_id == text.id, _CHUNKS.c.number <= text.chunks)
    counted = sa.select(sa.func.count()).select_from(_CHUNKS).where(*mine)
    return bool((await connection.execute(counted)).scalar_one() == text.chunks)


async def _make_ready(connection: AsyncConnection, text: sa.Row[Any]) -> None:
    if not text.ready:
        beyond = (_CHUNKS.c.text_id == text.id, _CHUNKS.c.number > text.chunks)
        await connection.execute(sa.delete(_CHUNKS).where(*beyond))
        await connection.execute(sa.update(_TEXTS).where(_TEXTS.c.id == text.id).values(ready=True))


async def _note(
    connection: AsyncConnection, source: sa.Row[Any], known: Mapping[str, Any], media_type: str, now: datetime
) -> None:
    """Keep what is known of a source whose content is the same."""
    values = dict(known)
    if any(getattr(source, name) != known[name] for name in ("title", "labels", "meta")):
        values["updated_at"] = now
    await connection.execute(sa.update(_SOURCES).where(_SOURCES.c.id == source.id).values(**values))
    newest = (_VERSIONS.c.source_id == source.id, _VERSIONS.c.number == source.version)
    await connection.execute(sa.update(_VERSIONS).where(*newest).values(media_type=media_type))


async def _next_version(
    connection: AsyncConnection,
    file: FileToTake,
    source_id: str,
    source: sa.Row[Any] | None,
    known: Mapping[str, Any],
    now: datetime,
) -> int:
    """Give a source its next version, make it if it is new; return the number."""
    number = 1 if source is None else int(source.version) + 1
    values = {**known, "version": number, "updated_at": now}
    if source is None:
        made = {"id": source_id, "tenant": file.tenant, "name": file.name, "created_at": now}
        await connection.execute(sa.insert(_SOURCES).values(**made, **values))
    else:
        await connection.execute(sa.update(_SOURCES).where(_SOURCES.c.id == source_id).values(**values))
    return number


async def _text_of(connection: AsyncConnection, source: sa.Row[Any]) -> str | None:
    query = sa.select(_VERSIONS.c.text_id).where(
        _VERSIONS.c.source_id == source.id, _VERSIONS.c.number == source.version
    )
    found: str | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def _new_chunks(connection: AsyncConnection, text: str, before: str | None) -> int:
    """Return how many chunks of a text the one before it has not."""
    old = sa.select(_CHUNKS.c.sha256).where(_CHUNKS.c.text_id == before)
    query = sa.select(sa.func.count()).select_from(_CHUNKS).where(_CHUNKS.c.text_id == text)
    if before is not None:
        query = query.where(_CHUNKS.c.sha256.not_in(old))
    return int((await connection.execute(query)).scalar_one())
