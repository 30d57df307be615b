"""Replays by filter: a walk through the matching dead letters, a page at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, Replay, ReplayFilter
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import dead_letters, events, schema

TABLE = schema.replays
PAGE: Final = 50
"""Dead letters per transaction: few enough to hold the locks for milliseconds."""

RUNNING: Final = "running"
DONE: Final = "done"


async def start(
    connection: AsyncConnection, tenant: str, wanted: ReplayFilter, *, now: datetime, actor: str
) -> Replay:
    """Keep a replay of everything that matches now; what dies later is left out."""
    count = sa.select(sa.func.count()).select_from(_todo(tenant, wanted, now).subquery())
    total = (await connection.execute(count)).scalar_one()
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=new_id("rpl", now),
                tenant=tenant,
                filter=wanted.model_dump(mode="json", exclude_unset=True),
                state=RUNNING,
                total=total,
                created_by=actor,
                created_at=now,
            )
            .returning(TABLE)
        )
    ).one()
    data = {"total": total, "by": actor}
    await events.append(connection, tenant, [events.NewEvent(EventType.REPLAY_STARTED, row.id, now, data)])
    return _view(row)


async def get(connection: AsyncConnection, tenant: str, replay_id: str) -> Replay:
    """Return a replay and how far it is.

    Raises:
        Failure: not_found.
    """
    return _view(await _row(connection, tenant, replay_id))


async def advance(connection: AsyncConnection, tenant: str, replay_id: str, *, now: datetime) -> Replay:
    """Replay the next page of dead letters. Each is replayed once, whoever asks how often."""
    row = await _row(connection, tenant, replay_id, lock=True)
    if row.state == DONE:
        return _view(row)
    wanted = ReplayFilter.model_validate(row.filter)
    letters = dead_letters.TABLE
    query = (
        _todo(tenant, wanted, row.created_at)
        .where(letters.c.id > row.position)
        .order_by(letters.c.id)
        .limit(PAGE)
        .with_for_update(of=letters)
    )
    found = (await connection.execute(query)).all()
    told: list[events.NewEvent] = []
    for letter in found:
        _, event = await dead_letters.replay_row(connection, letter, now=now, actor=row.created_by)
        told.append(event)
    values: dict[str, Any] = {"replayed": row.replayed + len(found)}
    if len(found) < PAGE:
        # Those that somebody else replayed in the meantime no longer match.
        skipped = max(0, row.total - values["replayed"])
        values |= {"state": DONE, "finished_at": now, "skipped": skipped}
        data = {"total": row.total, "replayed": values["replayed"], "skipped": skipped}
        told.append(events.NewEvent(EventType.REPLAY_FINISHED, replay_id, now, data))
    else:
        values["position"] = found[-1].id
    moved = (
        await connection.execute(
            sa.update(TABLE).where(TABLE.c.id == replay_id).values(**values).returning(TABLE)
        )
    ).one()
    if told:
        await events.append(connection, tenant, told)
    return _view(moved)


def _todo(tenant: str, wanted: ReplayFilter, before: datetime) -> sa.Select[Any]:
    letters = dead_letters.TABLE
    return dead_letters.matching(tenant, wanted).where(
        letters.c.replayed_by.is_(None), letters.c.closed_at <= before
    )


async def _row(
    connection: AsyncConnection, tenant: str, replay_id: str, *, lock: bool = False
) -> sa.Row[Any]:
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == replay_id)
    if lock:
        query = query.with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Failure(FailureKind.NOT_FOUND, f"there is no replay {replay_id[:60]}")
    return row


def _view(row: sa.Row[Any]) -> Replay:
    return Replay(
        id=row.id,
        state=row.state,
        total=row.total,
        replayed=row.replayed,
        skipped=row.skipped,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
