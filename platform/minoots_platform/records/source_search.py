"""Searching in the texts that were taken in: all words asked for in one chunk, the newest sources first.

There is no index of chunks: a search looks at so many characters, and says when there would have been more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from .session_search import Term, snippet_of, stand_in
from .sources import CHUNKS, TABLE, VERSIONS

_ROWS: Final = 200
MOST_LOOKED_AT: Final = 4_000_000
"""Characters of chunks in one search: some tenths of a second."""


@dataclass(frozen=True)
class ChunkHit:
    """A chunk in which a search found something.

    Attributes:
        number: its place in the newest version of the source.
        snippet: the text around what was found.
    """

    source_id: str
    name: str
    title: str
    number: int
    headings: tuple[str, ...]
    page: int | None
    snippet: str


async def search(
    connection: AsyncConnection,
    tenant: str,
    terms: tuple[Term, ...],
    *,
    limit: int,
    most: int = MOST_LOOKED_AT,
) -> tuple[tuple[ChunkHit, ...], bool]:
    """Return chunks of newest versions in which all terms stand, and whether these are all that there are."""
    hits: list[ChunkHit] = []
    left, query = most, _chunks(tenant)
    while True:
        rows = (await connection.execute(query.limit(_ROWS))).all()
        # In a thread: a page of chunks takes some milliseconds.
        hits += await asyncio.to_thread(_hits, rows, terms, limit + 1 - len(hits))
        left -= sum(len(row.text) for row in rows)
        if len(hits) > limit:
            return tuple(hits[:limit]), False
        if len(rows) < _ROWS or left <= 0:
            return tuple(hits), len(rows) < _ROWS
        query = _behind(_chunks(tenant), rows[-1])


def _chunks(tenant: str) -> sa.Select[Any]:
    newest = sa.and_(VERSIONS.c.source_id == TABLE.c.id, VERSIONS.c.number == TABLE.c.version)
    return (
        sa.select(
            TABLE.c.id,
            TABLE.c.name,
            TABLE.c.title,
            TABLE.c.updated_at,
            CHUNKS.c.number,
            CHUNKS.c.headings,
            CHUNKS.c.page,
            CHUNKS.c.text,
        )
        .join(VERSIONS, newest)
        .join(CHUNKS, CHUNKS.c.text_id == VERSIONS.c.text_id)
        .where(TABLE.c.tenant == tenant)
        .order_by(TABLE.c.updated_at.desc(), TABLE.c.id.desc(), CHUNKS.c.number)
    )


def _behind(chunks: sa.Select[Any], last: sa.Row[Any]) -> sa.Select[Any]:
    """Return those behind one: to count so many off anew for each page is too slow with many documents."""
    place = sa.tuple_(TABLE.c.updated_at, TABLE.c.id)
    return chunks.where(
        place <= sa.tuple_(sa.literal(last.updated_at, TABLE.c.updated_at.type), sa.literal(last.id)),
        sa.or_(TABLE.c.id != last.id, CHUNKS.c.number > last.number),
    )


def _hits(rows: Sequence[Any], terms: tuple[Term, ...], limit: int) -> list[ChunkHit]:
    found: list[ChunkHit] = []
    for row in rows:
        if len(found) >= limit:
            break
        if stand_in(row.text, terms):
            about = (row.id, row.name, row.title, row.number, tuple(row.headings), row.page)
            found.append(ChunkHit(*about, snippet_of(row.text, terms)[0]))
    return found
