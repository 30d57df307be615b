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
    query = (
        sa.select(
            *(column for column in _EVENTS.c if column.name != "words"),
            _SESSIONS.c.provider,
            _SESSIONS.c.title,
        )
        .join(_SESSIONS, _SESSIONS.c.id == _EVENTS.c.conversation_id)
        .where(_EVENTS.c.tenant == tenant)
    )
    key: sa.ColumnElement[int] = _EVENTS.c.key
    if connection.dialect.name == "sqlite":
        # By the index's own numbers, so that it is walked from the newest and left when the page is full.
        key = _WORDS.c.rowid
        query = query.join(_WORDS, _WORDS.c.rowid == _EVENTS.c.key).where(
            _WORDS.c.conversation_words.op("MATCH")(_quoted(wanted.terms))
        )
    else:
        asked = sa.cast(sa.literal(_lexemes(wanted.terms), sa.Text), postgresql.TSQUERY)
        query = query.where(_EVENTS.c.words.op("@@")(asked))
    if before is not None:
        query = query.where(key < before)
    if wanted.session_id is not None:
        query = query.where(_EVENTS.c.conversation_id == wanted.session_id)
    if wanted.kind is not None:
        query = query.where(_EVENTS.c.kind == wanted.kind)
    if wanted.provider is not None:
        query = query.where(_SESSIONS.c.provider == wanted.provider)
    rows = (await connection.execute(query.order_by(key.desc()).limit(limit + 1))).all()
    more = len(rows) > limit
    # In a thread: where a word stands in a long output takes a tenth of a second to find.
    hits = await asyncio.to_thread(_hits, rows[:limit], wanted.terms)
    return Page(items=hits, next_cursor=str(rows[limit - 1].key) if more else None)


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
    return all(next(_places(text, (term,)), None) is not None for term in dict.fromkeys(terms))


def _places(text: str, terms: tuple[Term, ...]) -> Iterator[tuple[int, int]]:
    """Yield where terms stand in a text."""
    written = list(written_in(text))
    for term in terms:
        count = len(term.words)
        for end in range(count - 1, len(written)):
            last = written[end][0]
            # The last word first: most are another, whatever stands before them.
            if not (last.startswith(term.words[-1]) if term.prefix else last == term.words[-1]):
                continue
            at = end - count + 1
            if tuple(word for word, _, _ in written[at:end]) == term.words[:-1]:
                yield written[at][1], written[end][2]
