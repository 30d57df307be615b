"""What ends an open Markdown text, against a parser of CommonMark."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from minoots_platform.writers.closing import closer_of, fence_for

PARSER = MarkdownIt("commonmark")

PREFIXES = ["", " ", "   ", "    ", "\t", "> ", ">", ">\t", "- ", "-\t", "-     ", "* ", "1. ", "1) ", "10. "]
LEAVES = [
    *("", "text", "two words", "# heading", "***", "===", "--", "|a|b|", "\\", "`", "\u00a0", "\x0c"),
    *("```", "````", "```py", "``` a`b", "~~~", "~~~~ x"),
    *("<!--", "-->", "<!-- x -->", "<?php", "?>", "<!X", ">", "<![CDATA[", "]]>"),
    *("<pre>", "</pre>", "<script x", "</script> x", "<textarea", "<style>", "x</style>"),
    *("<div>", "</div>", "<details", "<summary>x</summary>", "<preface>", "<1a>", "a <!-- b"),
    *("<foo>", "</foo >", "<foo a='b' c>", "<foo", '<a href="x"/>', "<foo> x"),
]
LINES = st.builds(
    "".join,
    st.tuples(st.lists(st.sampled_from(PREFIXES), max_size=3).map("".join), st.sampled_from(LEAVES)),
)
BLOCKS = st.lists(LINES, max_size=8).map("\n".join)
# In a quote markdown-it takes a > behind four and more spaces for one more line of it, where CommonMark
# (0.31, 5.1) allows three.
QUIRK = re.compile(r">[^\n]*\n(?:[^\n]*\n)*?[^\n]* {4,}>")
# Lines end in \n alone, as the writer makes them.
ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=60)


def ends_with_the_sentinel(text: str) -> bool:
    """Whether a heading behind a text and what closes it is one, and stands in nothing."""
    closer = closer_of(text)
    tokens = PARSER.parse(text + (f"\n{closer}" if closer else "") + "\n\n# sentinel")
    found = [(one.type, one.tag, one.level, one.content) for one in tokens[-3:]]
    return found == [
        ("heading_open", "h1", 0, ""),
        ("inline", "", 1, "sentinel"),
        ("heading_close", "h1", 0, ""),
    ]


@settings(max_examples=1500, deadline=None)
@given(BLOCKS)
@example("a\n===\n2. x\n   ```")
@example("9. a\n10. b\n   ```")
@example("- a\n\n\u00a0\n  ```")
def test_nothing_reaches_beyond_its_closer(text: str) -> None:
    assume(not QUIRK.search(text.expandtabs(4)))
    assert ends_with_the_sentinel(text)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_nothing_in_any_text_reaches_beyond_its_closer(text: str) -> None:
    assume(not QUIRK.search(text.expandtabs(4)))
    assert ends_with_the_sentinel(text)


@pytest.mark.parametrize(
    ("text", "closer"),
    [
        ("", ""),
        ("text", ""),
        ("```", "```"),
        ("````md\n```", "````"),
        ("```\n~~~", "```"),
        ("~~~ a`b", "~~~"),
        ("``` a`b", ""),
        ("```\n```", ""),
        ("```\n``` x", "```"),
        ("```\n    ```", "```"),
        ("```\n   `````  ", ""),
        ("   ```", "```"),
        ("    ```", ""),
        ("\t```", ""),
        ("a\n    ```", ""),
        ("a\n```", "```"),
        ("# a\n```", "```"),
        ("```\n\n\n", "```"),
        ("<script>", "</script>"),
        ("<STYLE\na", "</STYLE>"),
        ("<textarea>\n\n</script>", ""),
        ("a\n<!-- b\n\nc", "-->"),
        ("<!-- b -->", ""),
        ("a <!-- b", ""),
        ("<?php\n\n", "?>"),
        ("<!DOCTYPE\n", ">"),
        ("<![CDATA[", "]]>"),
        ("<div>\n```", ""),
        ("<div>\n\n```", "```"),
        ("<foo>\n```", ""),
        ("a\n<foo>\n```", "```"),
        ("<foo\n```", "```"),
    ],
)
def test_what_closes(text: str, closer: str) -> None:
    assert closer_of(text) == closer
    assert ends_with_the_sentinel(text)


@pytest.mark.parametrize(
    "text",
    [
        "> ```",
        "> <!--",
        "- ```",
        "-\n  ```",
        "1. a\n\n   ~~~",
        "- - - ```",
        "> - ```\n>   a",
        "- > ```\n\n  b",
        "-\t```",
        "> a\nlazy\n> ```",
    ],
)
def test_what_is_open_in_a_quote_or_list_ends_with_it(text: str) -> None:
    assert closer_of(text) == ""
    assert ends_with_the_sentinel(text)


@pytest.mark.parametrize(
    "text",
    [
        "> ```\n```",
        "> a\n```",
        "> a\nlazy\n```",
        "- a\nlazy\n```",
        "- a\n```",
        "-\n\n  ```",
        "10. a\n   ```",
        "- ```\n\n```",
        "-     ```\n```",
        "> <pre>\n```",
    ],
)
def test_a_fence_behind_a_quote_or_list_is_closed(text: str) -> None:
    assert closer_of(text) == "```"
    assert ends_with_the_sentinel(text)


@pytest.mark.parametrize(
    "text", ["a\n===\n2. x\n   ```", "a\n=\n<foo>\n```\n\nb", "a\n-\n<foo>\n```\n\nb", "a\n--\n2. x\n   ```"]
)
def test_behind_a_line_under_a_heading_is_no_paragraph(text: str) -> None:
    assert ends_with_the_sentinel(text)


@pytest.mark.parametrize(
    "text", ["9. a\n10. b\n   ```", "- a\n2. b\n  ```", "- a\n-\n\n  ```", "> a\n2. b\n   ```"]
)
def test_any_marker_begins_an_item_behind_another_list_or_quote(text: str) -> None:
    assert ends_with_the_sentinel(text)


@pytest.mark.parametrize("text", ["- a\n\n\u00a0\n  ```", "- \u00a0\n\n  ```", "- a\n\n\x0c\n  <!--"])
def test_a_line_with_a_strange_space_is_not_blank(text: str) -> None:
    assert ends_with_the_sentinel(text)


def test_a_long_tag_begins_a_block_like_a_short_one() -> None:
    assert ends_with_the_sentinel(f'<img src="data:,{"x" * 1000}">\n```\n\nb')


@settings(deadline=None)
@given(st.one_of(BLOCKS, st.text("`~ \na", max_size=40), ANYTHING))
def test_no_line_of_a_text_ends_its_fence(text: str) -> None:
    fence = fence_for(text)
    assert re.fullmatch(r"`{3,}", fence)
    [only] = PARSER.parse(f"{fence}\n{text}\n{fence}")
    assert (only.type, only.markup) == ("fence", fence)
    assert only.content == text.replace("\0", "\ufffd") + "\n"


def test_a_fence_is_not_longer_than_it_has_to_be() -> None:
    assert fence_for("``") == "```"
    assert fence_for("a\n````\nb") == "`````"


@pytest.mark.parametrize(
    "text",
    [
        ">" * 10_000,
        "*" * 100_000,
        "`" * 100_000 + "a`",
        "<" * 100_000,
        "<a " + " " * 100_000,
        "> a\n" * 10_000,
    ],
)
def test_a_long_text_takes_no_time(text: str) -> None:
    closer_of(text)
    fence_for(text)
