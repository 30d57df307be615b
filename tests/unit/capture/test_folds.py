"""Tags that fold away what stands behind a message, against a parser of CommonMark."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind
from minoots_platform.writers import Look, Rendered
from minoots_platform.writers.folds import folded_whole, unfolded
from minoots_platform.writers.markdown import Markdown

PARSER = MarkdownIt("commonmark")
TAG = re.compile(r"(?i)<(/?)(details|summary)(?![\w-])")
PIECES = [
    *("<details>", "</details>", "<summary>", "</summary>", "<Details open>", "<details", "words", "`", "``"),
    *(
        "\n",
        "\n\n",
        "\n```\n",
        "\n~~~~\n",
        "    ",
        "> ",
        "- ",
        "2. ",
        " ",
        "\\",
        "<b>",
        "<div>",
        "<pre>",
        "\n# a",
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
# As in the tests of what closes a text: there markdown-it reads quotes otherwise than CommonMark does.
QUIRK = re.compile(r">[^\n]*\n(?:[^\n]*\n)*?[^\n]* {4,}>")


def live(tokens: list[Token]) -> list[tuple[str, str]]:
    """The tags that fold, as a browser meets them."""
    found = []
    for token in tokens:
        if token.type in ("html_block", "html_inline"):
            found += [(one[1], one[2].lower()) for one in TAG.finditer(token.content)]
        found += live(token.children or [])
    return found


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
@example("a ` b\nc ` <details> `d`")
@example("\\`<details>`")
@example("<div>`<details>`")
@example("```\n</details>\n```")
def test_nothing_folds_in_what_is_folded_away(text: str) -> None:
    assume(not QUIRK.search(text))
    assert live(PARSER.parse(unfolded(text))) == []


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
@example("<details><summary>a</summary>\n\nb\n\n</details>")
def test_what_a_message_folds_away_ends_with_it(text: str) -> None:
    assume(not QUIRK.search(text))
    depth: list[str] = []
    for close, name in live(PARSER.parse(folded_whole(text))):
        if close:
            assert depth.pop() == name
        else:
            depth.append(name)
    assert depth == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Use <details> for that.", "Use &lt;details> for that."),
        ("<details>\n<summary>mine\n\nopen", "&lt;details>\n&lt;summary>mine\n\nopen"),
        ("Use `<details>` and </summary>.", "Use `<details>` and &lt;/summary>."),
        ("<details> <!-- </details> -->", "&lt;details> <!-- &lt;/details> -->"),
        ("```html\n<details>\n```\n<details>", "```html\n<details>\n```\n&lt;details>"),
    ],
)
def test_a_tag_that_would_fold_away_what_follows_is_a_word(text: str, told: str) -> None:
    assert folded_whole(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "<details>\n<summary>mine</summary>\n\nclosed\n\n</details>",
        "Use `<details>` for that, or `</summary>`.",
        "- so:\n  ```html\n  <details>\n  ```\n- done",
        "<detailsview> is another element",
    ],
)
def test_what_is_closed_or_code_is_left_as_it_is(text: str) -> None:
    assert folded_whole(text) == text


def test_code_that_was_thought_is_left_as_it_is() -> None:
    event = ConversationEvent(
        id="cev_1", kind=ConversationEventKind.THINKING, text="```html\n</details>\n```\n</details>"
    )
    into = Rendered()
    Markdown().render(event, Look(timezone="UTC"), {}, into)
    assert "```html\n</details>\n```\n&lt;/details>\n\n</details>\n" in into.text
