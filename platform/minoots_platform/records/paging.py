"""Pages of a list, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Page

from . import cursors, schema

ViewT = TypeVar("ViewT")
_MOMENT: Final = "moment_of_page"


async def newest_first(
    connection: AsyncConnection,
    query: sa.Select[Any],
    by: sa.ColumnElement[datetime],
    order: str,
    view: Callable[[sa.Row[Any]], ViewT],
    *,
    limit: int,
    cursor: str | None,
    row_id: sa.Column[str] | None = None,
) -> Page[ViewT]:
    """Return one page of ``query``, sorted by a moment and the id of the same table, latest first.

    Of a moment that is no column, ``row_id`` says which id.

    Pages continue behind the last row, so rows that come, go or change neither repeat nor hide another.
    ``order`` names the list in its cursors.

    Raises:
        Failure: invalid, for a cursor of another list.
    """
    if row_id is None:
        if not isinstance(by, sa.Column):
            raise TypeError(
                "expected the id that rows are sorted by, too: a moment that is made has no table"
            )
        row_id = by.table.c.id
    query = query.add_columns(by.label(_MOMENT))
    if cursor is not None:
        moment, last_id = cursors.decode(cursor, order)
        place = sa.tuple_(sa.literal(moment, schema.Moment), sa.literal(last_id))
        query = query.where(sa.tuple_(by, row_id) < place)
    rows = (await connection.execute(query.order_by(by.desc(), row_id.desc()).limit(limit + 1))).all()
    last = rows[limit - 1]._mapping if len(rows) > limit else None
    return Page(
        items=tuple(view(row) for row in rows[:limit]),
        next_cursor=None if last is None else cursors.encode(order, last[_MOMENT], last[row_id]),
    )
