"""The tool `context`: what sessions of the tenant have said, and what stands in its documents.

Owns what the model is told of it: places with a few words around, the newest first, and what stands there
when it reads on. Whether an agent may have this was decided when its job was submitted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.errors import Failure, FailureKind
from minoots_platform.records import Database, conversations, session_search, sessions, source_search, sources
from minoots_platform.records.session_search import Search

from .arguments import Context

_MOST_OF_ONE: Final = 4000
"""Characters of one event or chunk that is read."""
_MOST: Final = 32 * 1024
_SESSION: Final = "cnv_"
_SOURCE: Final = "src_"


async def look_up(database: Database, tenant: str, wanted: Context) -> str:
    """Search, or read on; return what the model is told.

    Raises:
        Failure: not_found, also for another tenant's; invalid, for words that are none.
    """
    async with database.read() as connection:
        if wanted.read is not None:
            return await _read(connection, tenant, wanted.read, wanted)
        return await _search(connection, tenant, wanted.query or "", wanted)


async def _search(connection: AsyncConnection, tenant: str, query: str, wanted: Context) -> str:
    terms = session_search.terms_of(query)
    told: list[str] = []
    if wanted.where != "documents":
        found = await session_search.search(
            connection, tenant, Search(terms), limit=wanted.limit, before=None
        )
        for hit in found.items:
            when = "" if hit.ts is None else f", {hit.ts.isoformat(timespec='minutes')}"
            title = f', "{_line(hit.title)}"' if hit.title else ""
            about = f"{hit.provider} {hit.kind}{title}{when}"
            told.append(f"{hit.session_id} at {hit.number} ({about}): {_line(hit.snippet)}")
        if found.next_cursor is not None:
            told.append("(more in sessions: ask for more words, or for a higher limit)")
    if wanted.where != "sessions":
        hits, complete = await source_search.search(connection, tenant, terms, limit=wanted.limit)
        for chunk in hits:
            below = " > ".join((_line(chunk.name), *map(_line, chunk.headings)))
            told.append(f"{chunk.source_id} at {chunk.number} ({below}): {_line(chunk.snippet)}")
        if not complete:
            told.append("(there may be more in documents: ask for more words, or for a higher limit)")
    return _bounded(told) or "nothing was found: all words have to stand in one place; try fewer, or others"


async def _read(connection: AsyncConnection, tenant: str, what: str, wanted: Context) -> str:
    if what.startswith(_SOURCE):
        page = await sources.chunks(
            connection, tenant, what, version=None, after=wanted.at - 1, limit=wanted.limit
        )
        return _bounded(f"[{chunk.number}] {chunk.text[:_MOST_OF_ONE]}" for chunk in page.items) or _no_more(
            what
        )
    if not what.startswith(_SESSION):
        raise Failure(FailureKind.INVALID, f"read takes an id that was found, {_SESSION}… or {_SOURCE}…")
    await sessions.get(connection, tenant, what)
    events = await sessions.events(connection, tenant, what, after=wanted.at - 1, limit=wanted.limit)
    told = (
        f"[{one.number}] {one.event.kind}: {conversations.searched(one.event)[:_MOST_OF_ONE]}"
        for one in events.items
    )
    return _bounded(told) or _no_more(what)


def _no_more(what: str) -> str:
    return f"there is nothing more in {what}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _bounded(parts: Iterable[str]) -> str:
    """Return as many parts as there is room for."""
    told: list[str] = []
    left = _MOST
    for part in parts:
        left -= len(part)
        if left < 0:
            told.append("(more left out: ask for less at once)")
            break
        told.append(part)
    return "\n".join(told)
