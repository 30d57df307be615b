"""Ingests: what was sent to be taken in, what became of each file, and when all of it was seen to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, FileState, Ingest, IngestAbout, IngestedFile, IngestState, Page
from minoots.contracts.ingest import SourceAbout
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import derived_id

from . import events, schema, staging
from .paging import newest_first

TABLE: Final = schema.ingests
FILES: Final = schema.ingest_files


@dataclass(frozen=True)
class SentFile:
    """A file as it came: its pieces are staged."""

    name: str
    media_type: str | None
    bytes: int
    sha256: str


@dataclass(frozen=True)
class IngestQuery:
    """Which ingests; the newest first."""

    states: tuple[IngestState, ...] = ()
    limit: int = 50
    cursor: str | None = None


async def accept(
    connection: AsyncConnection,
    tenant: str,
    ingest_id: str,
    files: Sequence[SentFile],
    about: IngestAbout,
    *,
    most_waiting: int,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> Ingest:
    """Keep an ingest whose pieces are staged under ``ingest_id``.

    Raises:
        Failure: throttled, when more than ``most_waiting`` bytes of the tenant wait to be read.
    """
    size = sum(file.bytes for file in files)
    await _require_room(connection, tenant, size, most_waiting)
    labels = dict(about.labels)
    await connection.execute(
        sa.insert(TABLE).values(
            id=ingest_id,
            tenant=tenant,
            name=files[0].name[:200],
            state=IngestState.RUNNING.value,
            files=len(files),
            bytes=size,
            labels=labels,
            created_at=now,
            updated_at=now,
            created_by=actor,
            traceparent=traceparent,
        )
    )
    rows = [
        {
            "ingest_id": ingest_id,
            "number": number,
            "tenant": tenant,
            "source_id": source_id(tenant, file.name),
            "name": file.name,
            "about": _about(file, about),
            "bytes": file.bytes,
            "sha256": file.sha256,
            "state": FileState.WAITING.value,
        }
        for number, file in enumerate(files, start=1)
    ]
    await connection.execute(sa.insert(FILES), rows)
    told = {"files": len(files), "bytes": size, "by": actor}
    await _tell(connection, tenant, ingest_id, EventType.INGEST_ACCEPTED, now, labels, told)
    return await get(connection, tenant, ingest_id)


def source_id(tenant: str, name: str) -> str:
    """Return the id of a source: the same name is the same source."""
    return derived_id("src", tenant, name)


async def get(connection: AsyncConnection, tenant: str, ingest_id: str) -> Ingest:
    """Return an ingest.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    row = await _row(connection, tenant, ingest_id)
    return _view(row, (await _counts(connection, [ingest_id]))[ingest_id])


async def page(connection: AsyncConnection, tenant: str, wanted: IngestQuery) -> Page[Ingest]:
    """Return one page of ingests."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    rows = await newest_first(
        connection,
        query,
        TABLE.c.created_at,
        "ingests",
        lambda row: row,
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    counts = await _counts(connection, [row.id for row in rows.items])
    return Page[Ingest](
        items=tuple(_view(row, counts[row.id]) for row in rows.items), next_cursor=rows.next_cursor
    )


async def files(
    connection: AsyncConnection,
    tenant: str,
    ingest_id: str,
    *,
    states: Sequence[FileState],
    after: int,
    limit: int,
) -> Page[IngestedFile]:
    """Return one page of an ingest's files, in the order in which they were sent.

    Raises:
        Failure: not_found.
    """
    await _row(connection, tenant, ingest_id)
    query = sa.select(FILES).where(FILES.c.ingest_id == ingest_id, FILES.c.number > after)
    if states:
        query = query.where(FILES.c.state.in_([state.value for state in states]))
    rows = (await connection.execute(query.order_by(FILES.c.number).limit(limit + 1))).all()
    cursor = str(rows[limit - 1].number) if len(rows) > limit else None
    return Page[IngestedFile](items=tuple(_file_view(row) for row in rows[:limit]), next_cursor=cursor)


async def cancel(
    connection: AsyncConnection, tenant: str, ingest_id: str, *, now: datetime, actor: str
) -> Ingest:
    """Take no more of its files in. What was taken in stays.

    Raises:
        Failure: not_found; conflict, when all of its files were seen to.
    """
    row = await _row(connection, tenant, ingest_id, lock=True)
    if row.state == IngestState.CANCELLED.value:
        return await get(connection, tenant, ingest_id)
    if row.state != IngestState.RUNNING.value:
        raise Failure(
            FailureKind.CONFLICT,
            f"the ingest is {row.state}; only a running one can be cancelled",
            remedy="Remove what it brought by DELETE /v1/sources/{id}.",
        )
    ended = {"state": FileState.CANCELLED.value, "ended_at": now}
    waiting = (FILES.c.ingest_id == ingest_id, FILES.c.state == FileState.WAITING.value)
    await connection.execute(sa.update(FILES).where(*waiting).values(**ended))
    await staging.forget(connection, ingest_id)
    await _end(connection, row, IngestState.CANCELLED, now, {"by": actor})
    return await get(connection, tenant, ingest_id)


async def advance(
    connection: AsyncConnection, tenant: str, ingest_id: str, *, limit: int, now: datetime
) -> tuple[IngestState, int, tuple[int, ...]]:
    """Return how an ingest stands, how many files it has, and which are next; end it when none waits.

    Raises:
        Failure: not_found.
    """
    row = await _row(connection, tenant, ingest_id, lock=True)
    if row.state != IngestState.RUNNING.value:
        return IngestState(row.state), row.files, ()
    left = await _waiting(connection, ingest_id, limit)
    if left:
        await connection.execute(sa.update(TABLE).where(TABLE.c.id == ingest_id).values(updated_at=now))
        return IngestState.RUNNING, row.files, left
    await staging.forget(connection, ingest_id)
    await _end(connection, row, IngestState.COMPLETED, now, {})
    return IngestState.COMPLETED, row.files, ()


async def _waiting(connection: AsyncConnection, ingest_id: str, limit: int) -> tuple[int, ...]:
    query = sa.select(FILES.c.number).where(
        FILES.c.ingest_id == ingest_id, FILES.c.state == FileState.WAITING.value
    )
    return tuple(await connection.scalars(query.order_by(FILES.c.number).limit(limit)))


async def _require_room(connection: AsyncConnection, tenant: str, size: int, most: int) -> None:
    mine = (FILES.c.tenant == tenant, FILES.c.state == FileState.WAITING.value)
    held = (
        await connection.execute(sa.select(sa.func.coalesce(sa.func.sum(FILES.c.bytes), 0)).where(*mine))
    ).scalar_one()
    if held + size > most:
        raise Failure(
            FailureKind.THROTTLED,
            f"{held} bytes wait to be read already; {size} more would be over the limit of {most}",
            remedy="Wait until some are read, or raise ingest.max_waiting_bytes.",
        )


async def _row(
    connection: AsyncConnection, tenant: str, ingest_id: str, *, lock: bool = False
) -> sa.Row[Any]:
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == ingest_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND, f"there is no ingest {ingest_id}", remedy="GET /v1/ingest lists them."
        )
    return row


async def _end(
    connection: AsyncConnection, row: sa.Row[Any], state: IngestState, now: datetime, more: Mapping[str, Any]
) -> None:
    await connection.execute(
        sa.update(TABLE).where(TABLE.c.id == row.id).values(state=state.value, updated_at=now, ended_at=now)
    )
    counts = (await _counts(connection, [row.id]))[row.id]
    kind = {
        IngestState.COMPLETED: EventType.INGEST_COMPLETED,
        IngestState.CANCELLED: EventType.INGEST_CANCELLED,
    }[state]
    told = {"counts": {state.value: many for state, many in counts.items()}, **more}
    await _tell(connection, row.tenant, row.id, kind, now, row.labels, told)


async def _tell(
    connection: AsyncConnection,
    tenant: str,
    ingest_id: str,
    kind: EventType,
    now: datetime,
    labels: Mapping[str, str],
    data: Mapping[str, Any],
) -> None:
    await events.append(connection, tenant, [events.NewEvent(kind, ingest_id, now, data, labels)])


async def _counts(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Counter[FileState]]:
    counts: dict[str, Counter[FileState]] = {one: Counter() for one in ids}
    columns = (FILES.c.ingest_id, FILES.c.state)
    query = sa.select(*columns, sa.func.count().label("many")).where(FILES.c.ingest_id.in_(ids))
    for row in await connection.execute(query.group_by(*columns)):
        counts[row.ingest_id][FileState(row.state)] = row.many
    return counts


def _about(file: SentFile, about: IngestAbout) -> dict[str, Any]:
    own = about.files.get(file.name, SourceAbout())
    return {
        "media_type": own.media_type,
        "sent_as": file.media_type,
        "title": own.title,
        "labels": {**about.labels, **own.labels},
        "metadata": {**about.metadata, **own.metadata},
    }


def _view(row: sa.Row[Any], counts: Counter[FileState]) -> Ingest:
    names = ("id", "state", "files", "bytes", "labels", "created_at", "created_by", "ended_at")
    return Ingest(
        **{name: getattr(row, name) for name in names},
        counts={state: counts[state] for state in FileState if counts[state]},
    )


def _file_view(row: sa.Row[Any]) -> IngestedFile:
    kept = row.state in (FileState.CREATED.value, FileState.UPDATED.value, FileState.UNCHANGED.value)
    names = [name for name in IngestedFile.model_fields if name != "source_id"]
    return IngestedFile(
        **{name: getattr(row, name) for name in names}, source_id=row.source_id if kept else None
    )
