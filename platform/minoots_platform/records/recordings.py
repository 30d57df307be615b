"""Recordings: conversations that are written into files, and how far each is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from . import schema
from .inserting import insert_new

TABLE = schema.recordings
_CONVERSATIONS = schema.conversations


class State(StrEnum):
    """Where a recording stands."""

    ACTIVE = "active"
    STOPPING = "stopping"
    """It was told to stop, and what came before is still being written."""
    STOPPED = "stopped"
    FAILED = "failed"


class Kind(StrEnum):
    """What it was started by."""

    RECORD = "record"
    CAPTURE = "capture"
    EXPORT = "export"


WRITING: Final = (State.ACTIVE.value, State.STOPPING.value)


def path_key(host: str, path: str) -> str:
    """Return what the file of a recording is found by."""
    return hashlib.sha256(f"{host}\x1f{path}".encode("utf-8", "surrogatepass")).hexdigest()


def writer_names(rows: Iterable[sa.Row[Any]]) -> dict[str, str]:
    """Return what to call the writer of each file, by the key of the file: for people, in histories.

    Never by its path: names of files may be made of what was said.
    """
    return {row.path_key: f"{row.alias} {row.id}" for row in rows}


async def start(connection: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Begin a recording; return whether it is new. One that was begun before stays as it is."""
    fresh = {
        "state": State.ACTIVE.value,
        "written": values["from_number"] - 1,
        "rendering": {},
        "size": 0,
        "modified_ns": 0,
    }
    return await insert_new(connection, TABLE, fresh | dict(values))


async def get(connection: AsyncConnection, tenant: str, recording_id: str) -> sa.Row[Any] | None:
    """Return a recording; ``None`` where there is none."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == recording_id)
    return (await connection.execute(query)).one_or_none()


async def as_it_stands(connection: AsyncConnection, recording_id: str) -> sa.Row[Any]:
    """Return a recording, with ``obeyed`` and ``revisions`` of its conversation as of the same moment."""
    query = (
        sa.select(TABLE, _CONVERSATIONS.c.obeyed, _CONVERSATIONS.c.revised.label("revisions"))
        .join(_CONVERSATIONS, _CONVERSATIONS.c.id == TABLE.c.conversation_id)
        .where(TABLE.c.id == recording_id)
    )
    return (await connection.execute(query)).one()


async def active_of(connection: AsyncConnection, conversation_id: str) -> list[sa.Row[Any]]:
    """Return the recordings of a conversation that go on, the oldest first."""
    query = sa.select(TABLE).where(
        TABLE.c.conversation_id == conversation_id, TABLE.c.state == State.ACTIVE.value
    )
    return list(await connection.execute(query.order_by(TABLE.c.started_at, TABLE.c.id)))


async def active_of_parent(connection: AsyncConnection, conversation_id: str) -> list[sa.Row[Any]]:
    """Return the recordings that go on of the conversation in which this one was begun."""
    parent = sa.select(_CONVERSATIONS.c.parent_id).where(_CONVERSATIONS.c.id == conversation_id)
    query = sa.select(TABLE).where(TABLE.c.conversation_id.in_(parent), TABLE.c.state == State.ACTIVE.value)
    return list(await connection.execute(query.order_by(TABLE.c.started_at, TABLE.c.id)))


async def ever_of(connection: AsyncConnection, conversation_id: str, workspace_id: str) -> bool:
    """Tell whether a conversation was ever recorded for a workspace; exports do not count."""
    query = sa.select(TABLE.c.id).where(
        TABLE.c.conversation_id == conversation_id,
        TABLE.c.workspace_id == workspace_id,
        TABLE.c.kind != Kind.EXPORT.value,
    )
    return (await connection.execute(query.limit(1))).first() is not None


async def last_path(
    connection: AsyncConnection, conversation_id: str, workspace_id: str, host: str
) -> str | None:
    """Return the file that a conversation was last recorded into for a workspace; exports do not count."""
    query = sa.select(TABLE.c.path).where(
        TABLE.c.conversation_id == conversation_id,
        TABLE.c.workspace_id == workspace_id,
        TABLE.c.host == host,
        TABLE.c.kind != Kind.EXPORT.value,
        TABLE.c.state.in_((State.STOPPED.value, State.STOPPING.value)),
    )
    ordered = query.order_by(TABLE.c.started_at.desc(), TABLE.c.id.desc()).limit(1)
    path: str | None = (await connection.execute(ordered)).scalar_one_or_none()
    return path


async def at_path(connection: AsyncConnection, tenant: str, key: str) -> list[sa.Row[Any]]:
    """Return every recording into a file, the oldest first."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.path_key == key)
    return list(await connection.execute(query.order_by(TABLE.c.started_at, TABLE.c.id)))


async def stop(
    connection: AsyncConnection, recording_id: str, *, number: int, line: int | None, now: datetime
) -> None:
    """Let a recording end with an event, or before a line of it."""
    await change(
        connection,
        recording_id,
        state=State.STOPPING.value,
        until_number=number,
        until_line=line,
        stopped_at=now,
    )


async def change(connection: AsyncConnection, recording_id: str, **values: Any) -> None:
    """Change a recording."""
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == recording_id).values(**values))


async def pending_of(connection: AsyncConnection, conversation_id: str) -> list[sa.Row[Any]]:
    """Return the recordings of a conversation that have something to write."""
    return list(await connection.execute(_pending().where(TABLE.c.conversation_id == conversation_id)))


async def behind(connection: AsyncConnection, tenant: str, host: str, limit: int) -> list[sa.Row[Any]]:
    """Return the recordings of a host that have something to write."""
    query = _pending().where(TABLE.c.tenant == tenant, TABLE.c.host == host)
    return list(await connection.execute(query.limit(limit)))


def _pending() -> sa.Select[Any]:
    return (
        sa.select(TABLE)
        .join(_CONVERSATIONS, _CONVERSATIONS.c.id == TABLE.c.conversation_id)
        .where(
            sa.or_(
                TABLE.c.state == State.STOPPING.value,
                sa.and_(
                    TABLE.c.state == State.ACTIVE.value,
                    sa.or_(
                        TABLE.c.written < _CONVERSATIONS.c.obeyed,
                        TABLE.c.revised < _CONVERSATIONS.c.revised,
                    ),
                ),
            )
        )
        .order_by(TABLE.c.started_at, TABLE.c.id)
    )
