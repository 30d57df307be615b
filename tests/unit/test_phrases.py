"""Where words and phrases stand in a text, in a time that no phrase makes long."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from minoots_platform.records import session_search
from minoots_platform.records.session_search import Term, snippet_of, stand_in, terms_of
from minoots_platform.records.words import written_in

WORDS = st.sampled_from(["a", "b", "ab"])
TERMS = st.builds(Term, st.lists(WORDS, min_size=1, max_size=6).map(tuple), st.booleans())


class Counted(str):
    """A word that counts how often it is compared."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        Counted.times += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def stands(words: list[str], term: Term, at: int) -> bool:
    """Whether a term stands at a place, word by word."""
    *before, last = term.words
    here = words[at : at + len(term.words)]
    if len(here) < len(term.words) or here[:-1] != before:
        return False
    return here[-1].startswith(last) if term.prefix else here[-1] == last


@given(st.lists(WORDS, max_size=20), TERMS)
def test_a_phrase_is_found_wherever_it_stands(words: list[str], term: Term) -> None:
    text = " ".join(words)
    written = list(written_in(text))
    wanted = [
        (written[at][1], written[at + len(term.words) - 1][2])
        for at in range(len(words))
        if stands(words, term, at)
    ]
    assert list(session_search._standing(written, term)) == wanted
    assert stand_in(text, (term,)) == bool(wanted)


def test_a_long_phrase_that_nearly_stands_everywhere_is_no_more_work() -> None:
    words = 2000
    for phrase in (["b", *["a"] * 199], [*["a"] * 199, "b"]):
        Counted.times = 0
        written = [(Counted("a"), at, at + 1) for at in range(words)]
        assert list(session_search._standing(written, Term(tuple(phrase)))) == []
        assert Counted.times <= 6 * words


def test_a_text_is_divided_into_words_once(monkeypatch: Any) -> None:
    texts = []

    def written(text: str) -> Any:
        texts.append(text)
        return written_in(text)

    monkeypatch.setattr(session_search, "written_in", written)
    assert not stand_in("one two three fourth", terms_of("one two three four"))
    assert snippet_of("one two", terms_of("one two"))[1] == ((0, 3), (4, 7))
    assert texts == ["one two three fourth", "one two"]
