"""What every writer promises: the same file in whatever pieces events come, and nothing said is markup."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minoots.contracts.conversations import (
    Choice,
    ConversationEvent,
    ConversationEventKind,
    Enclosed,
    ToolUse,
)
from minoots_platform.writers import Look, Rendered, installed
from minoots_platform.writers.html import Html
from minoots_platform.writers.visible import visible

Kind = ConversationEventKind
WRITERS = sorted(installed())
LOOK = Look(
    timezone="UTC", tool_calls=True, tool_results=True, thinking=True, system_events=True, beside="x.files"
)
TEXTS = st.lists(
    st.sampled_from(
        [
            *("text", "", "\n", "\r\n", "```", "<b>", "</pre>", "</article>", "</details>", "<!--", "]]>"),
            *("<script>", "&lt;", "&", '"', "'", "\u2028", "🦉", "- a", "> b", "# c", "<pre>", "</style>"),
        ]
    ),
    max_size=6,
).map("".join)
EVENTS = st.builds(
    ConversationEvent,
    id=st.just("e"),
    kind=st.sampled_from(Kind),
    ts=st.none() | st.just(datetime(2026, 7, 1, 10, tzinfo=UTC)),
    text=st.none() | TEXTS,
    model=st.none() | TEXTS,
    tool=st.none()
    | st.builds(
        ToolUse,
        call_id=TEXTS,
        name=st.none() | TEXTS,
        input=TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=2),
        output=st.none() | TEXTS,
    ),
    choice=st.none()
    | st.builds(Choice, key=TEXTS, question=TEXTS, chosen=st.lists(TEXTS, max_size=2).map(tuple)),
    enclosed=st.lists(
        st.builds(Enclosed, sha256=st.just("0" * 64), media_type=TEXTS, size=st.just(3)), max_size=1
    ).map(tuple),
)
CONVERSATIONS = st.lists(EVENTS, max_size=6)


def written(format: str, events: list[ConversationEvent], *cuts: int) -> str:
    """What stands in a file, in pieces with a state that is kept between them as JSON."""
    text, state = "", "{}"
    for begin, end in itertools.pairwise([0, *sorted(cuts), len(events)]):
        into, kept = Rendered(), json.loads(state)
        for event in events[begin:end]:
            installed()[format].render(event, LOOK, kept, into)
        text, state = text + into.text, json.dumps(kept)
    return text


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=100, deadline=None)
@given(events=CONVERSATIONS, cuts=st.lists(st.integers(0, 6), max_size=4))
def test_a_file_is_the_same_in_whatever_pieces_its_events_come(
    format: str, events: list[ConversationEvent], cuts: list[int]
) -> None:
    at_once = written(format, events)
    assert written(format, events, *(min(cut, len(events)) for cut in cuts)) == at_once
    assert written(format, events) == at_once
    assert at_once.startswith(written(format, events[:-1]))


CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("kind", Kind)
def test_no_control_character_gets_out(format: str, kind: Kind) -> None:
    text = "a\x1b[31m\x1b]0;b\x07".join(CONTROLS) + "\x9b2J```\r```\r\n\x0c```\n"
    event = ConversationEvent(
        id="e",
        kind=kind,
        text=text,
        model=text,
        tool=ToolUse(call_id="c", name=text, input={text: text}, output=text),
        choice=Choice(key=text, question=text, options=(text,), chosen=(text,)),
        enclosed=(Enclosed(sha256="0" * 64, media_type=text, size=3),),
    )
    into = Rendered()
    look = LOOK.model_copy(update={"title": text, "username": text, "tags": (text,), "beside": text})
    installed()[format].render(event, look, {}, into)
    head = installed()[format].head(look, into)
    assert not set(CONTROLS) & set(head + into.text)
    assert all(not set(CONTROLS) & set(one.text or "") for one in into.beside)


def test_a_line_of_jsonl_is_one_line_to_every_reader_and_says_the_same() -> None:
    text = "".join(map(chr, (*range(0xA0), 0x2028, 0x2029)))
    into = Rendered()
    installed()["jsonl"].render(ConversationEvent(id="e", kind=Kind.USER, text=text), LOOK, {}, into)
    [line] = into.text.splitlines()
    assert json.loads(line)["text"] == text


class Tags(HTMLParser):
    """The elements of a page, in their order, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, Any]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("/" + tag, None))

    def handle_comment(self, data: str) -> None:
        self.found.append(("!", data))

    def handle_data(self, data: str) -> None:
        self.text += data


def tags_of(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    tags.close()
    return tags


@settings(max_examples=300, deadline=None)
@given(CONVERSATIONS, TEXTS)
def test_nothing_that_is_said_is_markup_in_a_page(events: list[ConversationEvent], title: str) -> None:
    head = Html().head(LOOK.model_copy(update={"title": title}), Rendered())
    tags = tags_of(head + written("html", events))
    opened: list[str] = []
    for tag, _ in tags.found:
        if not tag.startswith("/"):
            opened.append(tag)
            continue
        while opened[-1] in ("html", "meta") and tag[1:] != opened[-1]:
            opened.pop()
        assert opened.pop() == tag[1:]
    known = "html meta title style h1 article h2 small pre p details summary b i".split()
    assert {tag.strip("/") for tag, _ in tags.found} <= set(known)
    names = {name for _, attrs in tags.found for name, _ in attrs or ()}
    assert names <= {"lang", "charset", "http-equiv", "content", "class"}
    for event in events:
        if event.kind is Kind.USER and event.text:
            assert visible(event.text) in tags.text
