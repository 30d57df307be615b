"""Searching in everything that was said: all words that are asked for, the newest first."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import FieldProblem, Page
from minoots.contracts.sessions import SessionHit
from minoots.errors import Failure, FailureKind

from . import conversations, schema
from .words import LONGEST, folded, words_of, written_in

_EVENTS = schema.conversation_events
_SESSIONS = schema.conversations
# The index of SQLite, which no migration tool knows.
_WORDS = sa.table("conversation_words", sa.column("rowid", sa.Integer), sa.column("conversation_words"))
_PREFIXES: Final = (2_000, 20_000, LONGEST)
_MOST_LOOKED_AT: Final = 2_000_000
"""Characters of all hits of a page in which words are looked for; of those behind, a beginning is shown."""
_WALKED: Final = 500
"""Events that are looked through, the newest first, before the index is asked: some milliseconds."""
_AROUND: Final = 120
"""Characters shown before and behind the first word that was found."""
_TERM: Final = re.compile(r'"(?P<phrase>[^"]*)"|(?P<word>\S+)')
_MOST_TERMS: Final = 16


@dataclass(frozen=True)
class Term:
    """Words that have to stand one behind the other; of the last, a beginning is enough if it says so."""

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True)
class Search:
    """What is looked for, and where."""

    terms: tuple[Term, ...]
    provider: str | None = None
    session_id: str | None = None
    kind: str | None = None


def terms_of(text: str) -> tuple[Term, ...]:
    """Return what a query asks for: words, phrases in quotes, beginnings with ``*`` behind them.

    Raises:
        Failure: invalid, when there is no word in it, or too many.
    """
    found = []
    for match in _TERM.finditer(text):
        given = match["phrase"] if match["phrase"] is not None else match["word"]
        words = tuple(words_of(given))
        if words:
            found.append(Term(words, prefix=match["word"] is not None and given.endswith("*")))
    if not found or len(found) > _MOST_TERMS:
        raise Failure(
            FailureKind.INVALID,
            "nothing can be searched for",
            remedy='Give words, "phrases in quotes", or the beginning of a word with * behind it.',
            errors=(
                FieldProblem(
                    field="query.q", expected=f"1 to {_MOST_TERMS} words or phrases", got=repr(text[:60])
                ),
            ),
        )
    return tuple(found)


async def search(
    connection: AsyncConnection, tenant: str, wanted: Search, *, limit: int, before: int | None
) -> Page[SessionHit]:
    """Return events in which all terms stand, the newest first; the cursor is the key of the last."""
    walk = _in_sqlite if connection.dialect.name == "sqlite" else _in_postgres
    rows = await walk(connection, _Range(tenant, wanted, before), limit + 1)
    more = len(rows) > limit
    # In a thread: where a word stands in a long output takes a tenth of a second to find.
    hits = await asyncio.to_thread(_hits, rows[:limit], wanted.terms)
    return Page(items=hits, next_cursor=str(rows[limit - 1].key) if more else None)


@dataclass(frozen=True)
class _Range:
    """What an event has to be, beside having the words."""

    tenant: str
    wanted: Search
    before: int | None

    def held_against(
        self,
        events: sa.FromClause,
        key: sa.ColumnElement[int],
        tenant: sa.ColumnElement[str] | None = None,
    ) -> list[sa.ColumnElement[bool]]:
        found = [(events.c.tenant if tenant is None else tenant) == self.tenant]
        if self.before is not None:
            found.append(key < self.before)
        if self.wanted.session_id is not None:
            found.append(events.c.conversation_id == self.wanted.session_id)
        if self.wanted.kind is not None:
            found.append(events.c.kind == self.wanted.kind)
        if self.wanted.provider is not None:
            found.append(_SESSIONS.c.provider == self.wanted.provider)
        return found


def _shown(events: sa.FromClause, session: sa.ColumnElement[str]) -> sa.Select[Any]:
    """Return the query of what a hit is made of, from events and their sessions."""
    columns = (column for column in events.c if column.name != "words")
    return sa.select(*columns, _SESSIONS.c.provider, _SESSIONS.c.title).join_from(
        events, _SESSIONS, _SESSIONS.c.id == session
    )


async def _in_sqlite(connection: AsyncConnection, within: _Range, most: int) -> Sequence[sa.Row[Any]]:
    # By the index's own numbers, so that it is walked from the newest and left when the page is full.
    key = _WORDS.c.rowid
    query = (
        _shown(_EVENTS, _EVENTS.c.conversation_id)
        .join(_WORDS, key == _EVENTS.c.key)
        .where(_WORDS.c.conversation_words.op("MATCH")(_quoted(within.wanted.terms)))
        .where(*within.held_against(_EVENTS, key))
    )
    return tuple((await connection.execute(query.order_by(key.desc()).limit(most))).all())


async def _in_postgres(connection: AsyncConnection, within: _Range, most: int) -> Sequence[sa.Row[Any]]:
    """Look through the newest events first, then into the index.

    An index of words knows no order, and a walk from the newest no end where a word is rare. Which of them is
    better the planner guesses from statistics, or blindly for a statement that it prepared: so each is asked
    for what it is good at.
    """
    asked = sa.cast(sa.literal(_lexemes(within.wanted.terms), sa.Text), postgresql.TSQUERY)
    newest = sa.select(_EVENTS).order_by(_EVENTS.c.key.desc()).limit(_WALKED)
    if within.before is not None:
        newest = newest.where(_EVENTS.c.key < within.before)
    recent = newest.subquery("recent")
    query = (
        _shown(recent, recent.c.conversation_id)
        .where(recent.c.words.op("@@")(asked))
        .where(*within.held_against(recent, recent.c.key))
    )
    rows = tuple((await connection.execute(query.order_by(recent.c.key.desc()).limit(most))).all())
    if len(rows) == most:
        return rows
    # By a sum, and a tenant with nothing added: their own indexes would lead through all that a tenant has.
    page = (
        sa.select(_EVENTS.c.key)
        .where(_EVENTS.c.words.op("@@")(asked))
        .where(*within.held_against(_EVENTS, _EVENTS.c.key, _EVENTS.c.tenant.concat("")))
        .order_by((_EVENTS.c.key + 0).desc())
        .limit(most)
    )
    if within.wanted.provider is not None:
        page = page.join(_SESSIONS, _SESSIONS.c.id == _EVENTS.c.conversation_id)
    found = page.subquery("page")
    query = _shown(_EVENTS, _EVENTS.c.conversation_id).join(found, found.c.key == _EVENTS.c.key)
    return tuple((await connection.execute(query.order_by(_EVENTS.c.key.desc()))).all())


def _quoted(terms: tuple[Term, ...]) -> str:
    """Return terms as SQLite takes them: quoted, so that nothing in them is an operator."""
    return " AND ".join(f'"{" ".join(term.words)}"' + ("*" if term.prefix else "") for term in terms)


def _lexemes(terms: tuple[Term, ...]) -> str:
    """Return terms as Postgres takes them; words are letters, digits and _ only, so none is an operator."""
    told = []
    for term in terms:
        *first, last = (f"'{word}'" for word in term.words)
        told.append("(" + " <-> ".join((*first, last + (":*" if term.prefix else ""))) + ")")
    return " & ".join(told)


def _hits(rows: Sequence[Any], terms: tuple[Term, ...]) -> tuple[SessionHit, ...]:
    """Return hits with what stands around the words; of later ones only so far as there is time for it."""
    left, found = _MOST_LOOKED_AT, []
    for row in rows:
        text = conversations.searched(conversations.event_of(row))
        longest = max(_PREFIXES[0], left)
        left -= min(len(text), longest)
        found.append(_hit(row, text[:longest], terms))
    return tuple(found)


def _hit(row: Any, text: str, terms: tuple[Term, ...]) -> SessionHit:
    snippet, marks = snippet_of(text, terms)
    return SessionHit(
        session_id=row.conversation_id,
        provider=row.provider,
        title=row.title,
        number=row.number,
        event_id=row.id,
        kind=row.kind,
        ts=row.ts,
        snippet=snippet,
        marks=marks,
    )


def snippet_of(text: str, terms: tuple[Term, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the part of a text around the first word that was found, and where such words stand in it."""
    wanted = tuple(dict.fromkeys(terms))
    found: list[tuple[int, int]] = []
    for size in _PREFIXES:
        # No further than has to be: a long text may have a word many times.
        found = sorted(set(_places(text[:size], wanted)))
        if found or size >= len(text):
            break
    middle = found[0][0] if found else 0
    begin, end = max(0, middle - _AROUND), min(len(text), middle + 2 * _AROUND)
    before, behind = "…" if begin else "", "…" if end < len(text) else ""
    move = len(before) - begin
    marks = tuple((first + move, last + move) for first, last in found if begin <= first and last <= end)
    return before + text[begin:end] + behind, marks


def stand_in(text: str, terms: tuple[Term, ...]) -> bool:
    """Tell whether all terms stand in a text."""
    plain = folded(text)
    # Most texts have not even the letters.
    if not all(word in plain for term in terms for word in term.words):
        return False
    written = list(written_in(text))
    return all(next(_standing(written, term), None) is not None for term in dict.fromkeys(terms))


def _places(text: str, terms: tuple[Term, ...]) -> Iterator[tuple[int, int]]:
    """Yield where terms stand in a text."""
    written = list(written_in(text))
    for term in terms:
        yield from _standing(written, term)


def _standing(written: Sequence[tuple[str, int, int]], term: Term) -> Iterator[tuple[int, int]]:
    """Yield where a term stands among words, looking at each about once, however long a phrase is."""
    *before, last = term.words
    back, reached = _repeats(before), 0
    for place, (word, begin, end) in enumerate(written):
        if reached == len(before):
            if word.startswith(last) if term.prefix else word == last:
                yield (written[place - reached][1] if before else begin), end
            if not before:
                continue
            reached = back[-1]
        while reached and word != before[reached]:
            reached = back[reached - 1]
        reached += word == before[reached]


def _repeats(words: Sequence[str]) -> list[int]:
    """Return with how many words each beginning of a phrase both begins and ends, itself left out."""
    found = [0] * len(words)
    reached = 0
    for place in range(1, len(words)):
        while reached and words[place] != words[reached]:
            reached = found[reached - 1]
        reached += words[place] == words[reached]
        found[place] = reached
    return found
