"""Words as a search compares them: without accents, in small letters, letters and digits only.

Made here and not by the databases, whose ideas of a word differ: what is found on one is found on the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

LONGEST: Final = 200_000
"""Characters of one event that can be searched for."""
_MOST_PLACES: Final = 16_383
"""The last place that Postgres tells from those behind it."""
_PLACES_OF_A_WORD: Final = 255
_MOST_BYTES: Final = 800_000
_LONGEST_WORD: Final = 500

_WORD: Final = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, in their order."""
    found, size = [], 0
    for match in _WORD.finditer(folded(text[:LONGEST])):
        # Folding may make a text many times as long; Postgres takes a megabyte.
        word = match[0][:_LONGEST_WORD]
        size += len(word.encode()) + 4
        if size > _MOST_BYTES:
            break
        found.append(word)
    return found


def folded(text: str) -> str:
    """Return a text without accents, in small letters."""
    if text.isascii():
        return text.lower()
    plain = (one for one in unicodedata.normalize("NFKD", text) if unicodedata.category(one) != "Mn")
    return "".join(plain).casefold()


def written_in(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each word as it is compared, with where it begins and ends in the text."""
    if text.isascii():  # the usual case, ten times as fast
        yield from ((match[0].lower(), *match.span()) for match in _WORD.finditer(text))
        return
    begin = 0
    for end, one in enumerate((*text, " ")):
        # An accent that stands by itself belongs to the letter before it.
        if one == "_" or not (one.isalnum() or (begin < end and unicodedata.category(one) == "Mn")):
            for word in _WORD.findall(folded(text[begin:end])):
                yield word, begin, end
            begin = end + 1


class Words(sa.types.TypeDecorator[str]):
    """Words with spaces between them; on Postgres, a ``tsvector`` with their places.

    A ``tsvector`` tells places up to the 16,383rd and 255 of each word: phrases behind are not found there.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Return the type on a database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TSVECTOR())
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the words as the database takes them."""
        if value is None or dialect.name != "postgresql":
            return value
        places: dict[str, list[str]] = {}
        for place, word in enumerate(value.split(" "), start=1):
            known = places.setdefault(word, [])
            if len(known) < _PLACES_OF_A_WORD and (place <= _MOST_PLACES or not known):
                known.append(str(min(place, _MOST_PLACES)))
        # Letters and digits only: nothing in them means anything.
        return " ".join(f"'{word}':{','.join(where)}" for word, where in places.items() if word)
