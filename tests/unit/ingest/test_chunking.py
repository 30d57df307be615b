"""Dividing texts: the chunks are the whole text, none is too long, and a change stays where it is made."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minoots.contracts import Chunk
from minoots_activities.ingest.chunking import chunks
from minoots_activities.ingest.extractors import Form

LINES = st.sampled_from(
    [
        *(
            "",
            "text",
            "two words. And more!",
            "# One",
            "## Two",
            "###### Six",
            "#",
            "#no",
            "===",
            "---",
            "***",
        ),
        *(
            "> quote",
            "> # in a quote",
            "- item",
            "  - item",
            "1. one",
            "    code",
            "\t",
            " ",
            "\u00a0",
            "\x0b",
        ),
        *("```", "~~~", "````md", "<div>", "<!--", "-->", "<pre>", "| a | b |", "|---|---|", "[a]: b", "a\\"),
        *("🦉🍵", "é\u0301", "x" * 70, "a " * 40, "\u2028", "\x85", "{}", '{"a": 1}', "…  ", 'end."  next'),
    ]
)
TEXTS = st.one_of(
    st.lists(LINES, max_size=30).map("\n".join), st.text(st.characters(exclude_categories=["Cs"]))
)
SIZES = st.integers(1, 120)
FORMS = st.sampled_from(sorted(Form))


def of(text: str, form: Form = Form.MARKDOWN, size: int = 200) -> list[Chunk]:
    """The chunks of a text."""
    return list(chunks(text, form, size))


@given(TEXTS, FORMS.filter(lambda form: form is not Form.PAGES), SIZES)
@settings(max_examples=400, deadline=None)
def test_the_chunks_are_the_whole_text(text: str, form: Form, size: int) -> None:
    text = text.replace("\r", "\n").replace("\x00", "")
    assert "".join(chunk.text for chunk in of(text, form, size)) == text


@given(st.lists(TEXTS, max_size=4), SIZES)
@settings(max_examples=100, deadline=None)
def test_the_chunks_are_the_text_of_all_pages(texts: list[str], size: int) -> None:
    pages = [text.replace("\f", "") for text in texts]
    found = of("\f".join(pages), Form.PAGES, size)
    for number, page in enumerate(pages, start=1):
        told = "".join(chunk.text for chunk in found if chunk.page == number)
        assert told in (page, page + "\n")
    assert sorted(chunk.page or 0 for chunk in found) == [chunk.page for chunk in found]


@given(TEXTS, FORMS, SIZES)
@settings(max_examples=300, deadline=None)
def test_every_chunk_is_in_its_place_and_none_too_long_or_empty(text: str, form: Form, size: int) -> None:
    found = of(text, form, size)
    assert [chunk.number for chunk in found] == list(range(1, len(found) + 1))
    assert all(0 < len(chunk.text) <= size for chunk in found)
    assert all(chunk.end - chunk.begin == len(chunk.text) for chunk in found)
    assert [0] * bool(found) == [chunk.begin for chunk in found[:1]]
    assert all(one.end == other.begin for one, other in pairwise(found))
    for chunk in found:
        told = "\x1f".join((*chunk.headings, chunk.text))
        assert chunk.sha256 == hashlib.sha256(told.encode()).hexdigest()


@given(TEXTS, FORMS, SIZES)
@settings(max_examples=100, deadline=None)
def test_the_same_text_is_divided_in_the_same_way(text: str, form: Form, size: int) -> None:
    assert of(text, form, size) == of(text, form, size)


WORDS = st.text("abc .,\n", max_size=300)


@given(st.lists(WORDS, min_size=2, max_size=5), WORDS, st.data(), st.integers(20, 120))
@settings(max_examples=200, deadline=None)
def test_a_change_within_a_section_leaves_the_chunks_of_others(
    bodies: list[str], other: str, data: st.DataObject, size: int
) -> None:
    place = data.draw(st.integers(0, len(bodies) - 1))

    def told(texts: list[str]) -> list[Chunk]:
        return of("".join(f"# S{n}\n\nbegin {body}\n\n" for n, body in enumerate(texts)), size=size)

    changed = [other if number == place else body for number, body in enumerate(bodies)]
    one, two = told(bodies), told(changed)
    for number in range(len(bodies)):
        if number != place:
            mine = (f"S{number}",)
            assert [c.sha256 for c in one if c.headings == mine] == [
                c.sha256 for c in two if c.headings == mine
            ]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("before", [()]),
        ("# A\na\n## B\nb\n# C\nc", [("A",), ("A", "B"), ("C",)]),
        ("### Deep\na\n# Top\nb\n### Below\nc", [("Deep",), ("Top",), ("Top", "Below")]),
        ("A\n=\na\n\nB\nmore\n---\nb", [("A",), ("A", "B more")]),
        ("# A\n```\n# no\n```\na", [("A",)]),
        ("# A\n~~~~\n# no\n~~~\n# nor this\n", [("A",)]),
        ("# A\n    # code\n", [("A",)]),
        ("# A\n<!--\n# no\n-->\n", [("A",)]),
        ("> # quoted\n\na", [()]),
        ("- # in a list\n", [()]),
        ("# `a` *b* ##\nx", [("`a` *b*",)]),
        ("#\nx", [("",)]),
        ("#no\nx", [()]),
        ("####### seven\nx", [()]),
        ("# " + "x" * 300 + "\ny", [("x" * 200,)]),
        ("# A\n\n# B\n\nb\n", [("B",)]),
    ],
)
def test_headings_tell_where_a_chunk_stands(text: str, headings: list[tuple[str, ...]]) -> None:
    assert [chunk.headings for chunk in of(text, size=2000)] == headings


def test_a_heading_goes_with_what_stands_below_it() -> None:
    found = of("# A\n\n## B\n\ntext of b\n")
    assert [(chunk.headings, chunk.text) for chunk in found] == [(("A", "B"), "# A\n\n## B\n\ntext of b\n")]


def test_a_text_is_divided_at_the_best_places() -> None:
    assert [chunk.text for chunk in of("aaaa bbb.\n\ncccc dddd", Form.PLAIN, 15)] == [
        "aaaa bbb.\n\n",
        "cccc dddd",
    ]
    assert [chunk.text for chunk in of("One one. Two two two", Form.PLAIN, 14)] == [
        "One one. ",
        "Two two two",
    ]
    assert [chunk.text for chunk in of("x" * 10, Form.PLAIN, 4)] == ["xxxx", "xxxx", "xx"]


def test_records_are_kept_whole_where_they_fit() -> None:
    text = '{"a": 1}\n{"b": 2}\n\n{"c": 3}'
    assert [chunk.text for chunk in of(text, Form.LINES, 18)] == ['{"a": 1}\n{"b": 2}\n', '\n{"c": 3}']


def test_pages_are_never_joined() -> None:
    found = of("a\n\f\fb\fc", Form.PAGES)
    assert [(chunk.page, chunk.text) for chunk in found] == [(1, "a\n"), (3, "b\n"), (4, "c\n")]


def test_nothing_has_no_chunks() -> None:
    for form in Form:
        assert [chunk.text for chunk in of("", form)] == []
