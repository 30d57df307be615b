"""Timers that a plan or an escalation has set."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import TimerState
from minoots.errors import Failure

from . import commands, events, overlaps, timers

TABLE = timers.TABLE


async def lock(
    connection: AsyncConnection,
    parent_id: str,
    *,
    among: Collection[str] | None = None,
    waiting: bool = False,
) -> Sequence[sa.Row[Any]]:
    """Lock the timers of a parent that have not ended, in the order of their ids, and return their rows.

    Args:
        connection: in a writing transaction that has locked the parent.
        parent_id: whose.
        among: only those of these parts.
        waiting: only those that have not fired.
    """
    query = sa.select(TABLE).where(TABLE.c.parent_id == parent_id, TABLE.c.settled_at.is_(None))
    if among is not None:
        query = query.where(TABLE.c.part.in_(sorted(among)))
    if waiting:
        query = query.where(TABLE.c.state != TimerState.FIRED.value)
    ids = [row.id for row in await connection.execute(query.order_by(TABLE.c.id))]
    await overlaps.lock_of_timers(connection, ids)
    return (await connection.execute(query.order_by(TABLE.c.id).with_for_update(key_share=True))).all()


async def call_off(
    connection: AsyncConnection, parent_id: str, reason: str, now: datetime, actor: str
) -> list[events.NewEvent]:
    """Cancel the timers of a parent that have not ended; return the events.

    One that is being sent this moment goes on.
    """
    told: list[events.NewEvent] = []
    for timer in await lock(connection, parent_id):
        try:
            _, more = await commands.carry_out(
                connection, timer, commands.CancelIt(reason), now=now, actor=actor
            )
        except Failure:
            continue
        told += more
    return told
