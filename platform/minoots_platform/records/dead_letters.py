"""Dead letters: deliveries that were given up, and sending them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import DeadLetter, DeliveryState, EventType, Page, Replayed, ReplayFilter
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import deliveries, events, schema, timers
from .paging import newest_first

TABLE = schema.deliveries
_ORDER = "died"


@dataclass(frozen=True)
class DeadLetterQuery:
    """Which dead letters: those that match every given field of ``filter``."""

    filter: ReplayFilter | None = None
    limit: int = 50
    cursor: str | None = None


async def page(connection: AsyncConnection, tenant: str, wanted: DeadLetterQuery) -> Page[DeadLetter]:
    """Return one page of dead letters, the newest first; those replayed since are told by ``replayed_by``."""
    query = matching(tenant, wanted.filter).add_columns(timers.TABLE.c.name.label("timer_name"))
    return await newest_first(
        connection, query, TABLE.c.closed_at, _ORDER, _view, limit=wanted.limit, cursor=wanted.cursor
    )


def matching(tenant: str, wanted: ReplayFilter | None) -> sa.Select[Any]:
    """Return the query for dead letters that match ``wanted``."""
    query = (
        sa.select(TABLE)
        .join(timers.TABLE, timers.TABLE.c.id == TABLE.c.timer_id)
        .where(TABLE.c.tenant == tenant, TABLE.c.state == DeliveryState.DEAD.value)
    )
    if wanted is None:
        return query
    if wanted.timer_id is not None:
        query = query.where(TABLE.c.timer_id == wanted.timer_id)
    if wanted.timer_name is not None:
        query = query.where(timers.TABLE.c.name == wanted.timer_name)
    if wanted.url_prefix is not None:
        # Not LIKE: on SQLite it takes upper and lower case for the same.
        beginning = sa.func.substr(TABLE.c.url, 1, len(wanted.url_prefix))
        query = query.where(beginning == wanted.url_prefix)
    if wanted.error is not None:
        query = query.where(TABLE.c.error == wanted.error.value)
    if wanted.died_after is not None:
        query = query.where(TABLE.c.closed_at >= wanted.died_after)
    if wanted.died_before is not None:
        query = query.where(TABLE.c.closed_at < wanted.died_before)
    return query


async def replay_one(
    connection: AsyncConnection, tenant: str, delivery_id: str, *, now: datetime, actor: str
) -> Replayed:
    """Make a new delivery that sends a dead letter again, due now, with the same webhook id.

    Raises:
        Failure: not_found; conflict, when it is not dead or was replayed already.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == delivery_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None or row.state != DeliveryState.DEAD.value:
        raise Failure(
            FailureKind.NOT_FOUND if row is None else FailureKind.CONFLICT,
            f"there is no dead letter {delivery_id[:60]}"
            + ("" if row is None else f": that delivery is {row.state}"),
            remedy="GET /v1/dead-letters lists them.",
        )
    if row.replayed_by is not None:
        # Also when the replay died: it is a dead letter of its own, and replaying both would send twice.
        newest = await deliveries.get(connection, tenant, row.replayed_by)
        raise Failure(
            FailureKind.CONFLICT,
            f"dead letter {delivery_id} was replayed already, by {newest.id}, which is {newest.state}",
            remedy="Replay that one if it dies too.",
        )
    replay_id, told = await replay_row(connection, row, now=now, actor=actor)
    await events.append(connection, tenant, [told])
    return Replayed(delivery_id=replay_id, replay_of=delivery_id)


async def replay_row(
    connection: AsyncConnection, row: sa.Row[Any], *, now: datetime, actor: str
) -> tuple[str, events.NewEvent]:
    """Make the delivery that replays ``row``; return its id and the event to append."""
    replay_id = new_id("dlv", now)
    await connection.execute(
        sa.insert(TABLE).values(
            id=replay_id,
            tenant=row.tenant,
            timer_id=row.timer_id,
            action=row.action,
            url=row.url,
            url_hash=row.url_hash,
            fifo_key=row.fifo_key,
            webhook_id=row.webhook_id,
            state=DeliveryState.RETRYING.value,
            planned_at=now,
            created_at=now,
            replay_of=row.id,
            traceparent=row.traceparent,
        )
    )
    await connection.execute(sa.update(TABLE).where(TABLE.c.id == row.id).values(replayed_by=replay_id))
    timer = await timers.row_of(connection, row.tenant, row.timer_id)
    told = timers.event_of(
        timer,
        EventType.DELIVERY_REPLAYED,
        now,
        delivery_id=replay_id,
        replay_of=row.id,
        action=row.action,
        by=actor,
    )
    return replay_id, told


def _view(row: sa.Row[Any]) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        timer_id=row.timer_id,
        timer_name=row.timer_name,
        action=row.action,
        url=row.url,
        webhook_id=row.webhook_id,
        attempts=row.attempts,
        error=row.error,
        detail=row.detail,
        died_at=row.closed_at,
        replay_of=row.replay_of,
        replayed_by=row.replayed_by,
    )
