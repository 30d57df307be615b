"""The event log: append in the transaction of the change, read by sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Event, EventType
from minoots_platform.ids import new_id

from . import schema


@dataclass(frozen=True)
class NewEvent:
    """An event to append."""

    type: EventType
    subject: str
    time: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None


async def append(connection: AsyncConnection, tenant: str, new: Sequence[NewEvent]) -> int:
    """Append ``new`` in order and return the sequence number of the last one.

    Call it last in the transaction: from here to the commit it holds the tenant's counter row, which is what
    makes sequence order and commit order the same.
    """
    if not new:
        raise ValueError("expected at least one event")
    last: int = (
        await connection.execute(
            sa.update(schema.tenants)
            .where(schema.tenants.c.id == tenant)
            .values(last_sequence=schema.tenants.c.last_sequence + len(new))
            .returning(schema.tenants.c.last_sequence)
        )
    ).scalar_one()
    first = last - len(new) + 1
    await connection.execute(
        sa.insert(schema.events),
        [
            {
                "tenant": tenant,
                "sequence": first + offset,
                "id": new_id("evt", event.time),
                "type": event.type.value,
                "subject": event.subject,
                "time": event.time,
                "labels": dict(event.labels),
                "data": dict(event.data),
                "traceparent": event.traceparent,
            }
            for offset, event in enumerate(new)
        ],
    )
    return last


@dataclass(frozen=True)
class EventFilter:
    """Which events a reader wants: those that match every given field."""

    types: tuple[str, ...] = ()
    subject: str | None = None
    labels: tuple[tuple[str, str], ...] = ()


async def last_sequence(connection: AsyncConnection, tenant: str) -> int:
    """Return the sequence number of the tenant's newest event, 0 where there is none."""
    query = sa.select(schema.tenants.c.last_sequence).where(schema.tenants.c.id == tenant)
    return (await connection.execute(query)).scalar() or 0


async def last_sequences(connection: AsyncConnection, tenants: Sequence[str]) -> dict[str, int]:
    """Return the newest sequence number of each of ``tenants``."""
    query = sa.select(schema.tenants.c.id, schema.tenants.c.last_sequence).where(
        schema.tenants.c.id.in_(tenants)
    )
    return {row.id: row.last_sequence for row in await connection.execute(query)}


@dataclass(frozen=True)
class EventPage:
    """Matching events and the sequence number up to which the log was looked through."""

    events: tuple[Event, ...]
    position: int
    more: bool


async def read(
    connection: AsyncConnection, tenant: str, *, after: int, limit: int, wanted: EventFilter = EventFilter()
) -> EventPage:
    """Return up to ``limit`` matching events with a sequence number above ``after``, oldest first.

    ``position`` moves on past events that do not match, so that a reader with a narrow filter resumes
    where the log was looked through, not at the last match.
    """
    table = schema.events
    query = sa.select(table).where(table.c.tenant == tenant, table.c.sequence > after)
    if wanted.types:
        query = query.where(table.c.type.in_(wanted.types))
    if wanted.subject is not None:
        query = query.where(table.c.subject == wanted.subject)
    for key, value in wanted.labels:
        query = query.where(table.c.labels[key].as_string() == value)
    newest = await last_sequence(connection, tenant)
    rows = (
        await connection.execute(
            # Bounded by the newest number read first: on Postgres the two statements see different moments.
            query.where(table.c.sequence <= newest).order_by(table.c.sequence).limit(limit + 1)
        )
    ).all()
    more = len(rows) > limit
    rows = rows[:limit]
    position = rows[-1].sequence if more else max(newest, after)
    return EventPage(tuple(_event(row) for row in rows), position, more)


async def newest_about(
    connection: AsyncConnection, tenant: str, subject: str, *, limit: int
) -> tuple[Event, ...]:
    """Return the newest ``limit`` events about ``subject``, oldest first."""
    table = schema.events
    query = (
        sa.select(table)
        .where(table.c.tenant == tenant, table.c.subject == subject)
        .order_by(table.c.sequence.desc())
        .limit(limit)
    )
    rows = (await connection.execute(query)).all()
    return tuple(_event(row) for row in reversed(rows))


def _event(row: sa.Row[Any]) -> Event:
    return Event(
        id=row.id,
        source=f"/tenants/{row.tenant}",
        type=row.type,
        subject=row.subject,
        time=row.time,
        sequence=row.sequence,
        traceparent=row.traceparent,
        labels=row.labels,
        data=row.data,
    )
