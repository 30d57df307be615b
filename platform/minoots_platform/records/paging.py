"""Pages of a list, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Page

from . import cursors, schema

ViewT = TypeVar("ViewT")


async def newest_first(
    connection: AsyncConnection,
    query: sa.Select[Any],
    by: sa.Column[datetime],
    order: str,
    view: Callable[[sa.Row[Any]], ViewT],
    *,
    limit: int,
    cursor: str | None,
) -> Page[ViewT]:
    """Return one page of ``query``, sorted by a moment and the id of the same table, latest first.

    Pages continue behind the last row, so rows that come, go or change neither repeat nor hide another.
    ``order`` names the list in its cursors.

    Raises:
        Failure: invalid, for a cursor of another list.
    """
    row_id = by.table.c.id
    if cursor is not None:
        moment, last_id = cursors.decode(cursor, order)
        place = sa.tuple_(sa.literal(moment, schema.Moment), sa.literal(last_id))
        query = query.where(sa.tuple_(by, row_id) < place)
    rows = (await connection.execute(query.order_by(by.desc(), row_id.desc()).limit(limit + 1))).all()
    last = rows[limit - 1]._mapping if len(rows) > limit else None
    return Page(
        items=tuple(view(row) for row in rows[:limit]),
        next_cursor=None if last is None else cursors.encode(order, last[by], last[row_id]),
    )
