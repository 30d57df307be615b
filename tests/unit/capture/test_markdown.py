"""Recordings as they are written: Markdown against a parser of CommonMark, JSONL against its own contract."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from minoots.contracts.conversations import (
    Choice,
    ConversationEvent,
    ConversationEventKind,
    Enclosed,
    Tokens,
    ToolUse,
)
from minoots_platform.writers import Beside, Look, Rendered, Writer, installed
from minoots_platform.writers.front_matter import made
from minoots_platform.writers.html import Html
from minoots_platform.writers.jsonl import Jsonl
from minoots_platform.writers.markdown import LONGEST_SHOWN, Markdown, speaker_of

Kind = ConversationEventKind
PARSER = MarkdownIt("commonmark")
NOON = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
PLAIN = Look(timezone="UTC", beside="tea.assets")
EVERYTHING = Look(
    timezone="UTC",
    tool_calls=True,
    tool_results=True,
    system_events=True,
    participant_username=True,
    event_kinds=True,
    root="/w",
    folder="/w/plans",
    beside="my tea.assets",
)
SHA = "0123456789abcdef" * 4

LINES = st.sampled_from(
    [
        *(
            "",
            "text",
            "# heading",
            "===",
            "---",
            "> quote",
            "- item",
            "  - item",
            "1. one",
            "  two",
            "    code",
        ),
        *(
            "```",
            "  ```",
            "````md",
            "~~~",
            "> ```",
            "- ```",
            "<!--",
            "-->",
            "<pre>",
            "</style>",
            "<?",
            "<![CDATA[",
        ),
        *(
            "<div>",
            "<details>",
            "</details>",
            "</summary>",
            "<foo>",
            "[a](/w/b.md)",
            "![](/w/c.png)",
            "*a",
            "\t",
        ),
    ]
)
TEXTS = st.lists(LINES, max_size=6).map("\n".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)
NAMES = (
    st.sampled_from(["user", "a", "Bash", "- a", "`", "</summary>", "a\n\n```", "  ", "_", "[x](y)", "&lt;"])
    | TEXTS
)
TOOLS = st.builds(
    ToolUse,
    call_id=st.sampled_from("abc"),
    name=st.none() | NAMES,
    input=st.none() | TEXTS | st.dictionaries(NAMES, TEXTS | st.integers() | st.none(), max_size=2),
    output=st.none() | TEXTS | TEXTS.map(lambda text: f"{text}\n{'x' * LONGEST_SHOWN}"),
    is_error=st.booleans(),
)
CHOICES = st.builds(
    Choice,
    key=NAMES,
    question=TEXTS,
    options=st.lists(NAMES, max_size=3).map(tuple),
    chosen=st.lists(NAMES, max_size=2).map(tuple),
)
ENCLOSED = st.builds(
    Enclosed,
    sha256=st.just(SHA),
    media_type=st.sampled_from(["image/png", "image/x", "application/pdf"]) | NAMES,
    size=st.integers(0, 9),
)
EVENTS = st.builds(
    ConversationEvent,
    id=st.just("e"),
    kind=st.sampled_from(Kind) | st.sampled_from([Kind.USER, Kind.ASSISTANT]),
    ts=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001
    text=st.none() | TEXTS,
    turn_id=st.sampled_from([None, "t"]),
    phase=st.sampled_from([None, "commentary", "final"]),
    model=st.none() | NAMES,
    tool=st.none() | TOOLS,
    choice=st.none() | CHOICES,
    tokens=st.none() | st.builds(Tokens, input=st.none() | st.integers(0)),
    enclosed=st.lists(ENCLOSED, max_size=1).map(tuple),
    injected=st.booleans(),
    agent_id=st.none() | NAMES,
    details=st.dictionaries(
        TEXTS, TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=2
    ),
)
CONVERSATIONS = st.lists(EVENTS, max_size=6)
LOOKS = st.builds(
    lambda **values: EVERYTHING.model_copy(update=values),
    commentary=st.booleans(),
    thinking=st.booleans(),
    tool_calls=st.booleans(),
    tool_results=st.booleans(),
    italic_user=st.booleans(),
    wikilinks=st.booleans(),
    username=st.none() | NAMES,
    timezone=st.sampled_from(["local", "UTC", "Asia/Kathmandu", "nowhere", "", "/etc"]),
)


def said(kind: Kind, text: str | None = None, **values: Any) -> ConversationEvent:
    """An event at noon."""
    return ConversationEvent(**{"id": "e", "kind": kind, "ts": NOON, "text": text, **values})


def called(name: str | None = "Bash", given: Any = "ls", call_id: str = "c") -> ConversationEvent:
    return said(Kind.TOOL_CALL, tool=ToolUse(call_id=call_id, name=name, input=given))


def gave(
    output: str | None, *, name: str | None = None, error: bool = False, **values: Any
) -> ConversationEvent:
    tool = ToolUse(call_id="c", name=name, output=output, is_error=error)
    return said(Kind.TOOL_RESULT, tool=tool, **values)


def rendered(
    events: list[ConversationEvent], look: Look = PLAIN, *cuts: int, by: Writer | None = None
) -> Rendered:
    """What comes of some events, in pieces with a state that is kept between them."""
    writer, together, state = by or Markdown(), Rendered(), "{}"
    for begin, end in itertools.pairwise([0, *sorted(cuts), len(events)]):
        into, kept = Rendered(), json.loads(state)
        for event in events[begin:end]:
            writer.render(event, look, kept, into)
        state = json.dumps(kept)
        together.text += into.text
        together.participants += [one for one in into.participants if one not in together.participants]
        together.kinds += [one for one in into.kinds if one not in together.kinds]
        together.beside += into.beside
    return together


def text_of(*events: ConversationEvent, **values: Any) -> str:
    return rendered(list(events), PLAIN.model_copy(update=values)).text


def headings_in(text: str) -> list[str]:
    """The headings at top level, as they are to be read."""
    tokens = PARSER.parse(text)
    return [
        "".join(part.content for part in tokens[at + 1].children or ())
        for at, one in enumerate(tokens)
        if one.type == "heading_open" and one.level == 0
    ]


def one_line_each(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def stand_at_top_level(events: list[ConversationEvent], look: Look) -> bool:
    """Whether everything that the writer itself begins and ends is seen to begin and end at top level."""
    headings, folds, text, state = set(), set(), "", dict[str, Any]()
    for event in events:
        speaker, into = state.get("speaker"), Rendered()
        Markdown().render(event, look, state, into)
        line = one_line_each(text).count("\n")
        if state.get("speaker") != speaker:
            headings.add(line)
        if into.text.startswith("<details>\n") and event.kind in (
            Kind.THINKING,
            Kind.TOOL_CALL,
            Kind.TOOL_RESULT,
        ):
            folds |= {line, line + one_line_each(into.text).count("\n") - 2}
        text += into.text
    tokens = [one for one in PARSER.parse(text + "# sentinel") if one.level == 0 and one.map]
    headings.add(one_line_each(text).count("\n"))
    return headings <= {one.map[0] for one in tokens if one.type == "heading_open" and one.map} and folds <= {
        one.map[0] for one in tokens if one.type == "html_block" and one.map
    }


@settings(max_examples=200, deadline=None)
@given(CONVERSATIONS, LOOKS, st.lists(st.integers(0, 6), max_size=3))
def test_the_pieces_in_which_events_come_make_no_difference(
    events: list[ConversationEvent], look: Look, cuts: list[int]
) -> None:
    at_once = rendered(events, look)
    assert rendered(events, look, *(min(cut, len(events)) for cut in cuts)) == at_once


@settings(max_examples=200, deadline=None)
@given(CONVERSATIONS, LOOKS)
def test_what_was_rendered_is_never_taken_back(events: list[ConversationEvent], look: Look) -> None:
    texts = [rendered(events[:count], look).text for count in range(len(events) + 1)]
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(texts))
    assert all(text == "" or text.endswith("\n\n") for text in texts)


@settings(max_examples=400, deadline=None)
@given(CONVERSATIONS, LOOKS)
@example([called("a\n\n```")], EVERYTHING)
@example([said(Kind.THINKING, "<details>\n```")], EVERYTHING)
@example([said(Kind.USER, " ```\na\n```")], EVERYTHING.model_copy(update={"italic_user": True}))
@example([said(Kind.USER, "- a"), said(Kind.USER, "  ```\na")], EVERYTHING)
def test_nothing_that_is_said_breaks_out(events: list[ConversationEvent], look: Look) -> None:
    assert stand_at_top_level(events, look)


@pytest.mark.parametrize(
    "text",
    [
        "```",
        "~~~~\n# a",
        "<!-- a",
        "<pre>",
        "<?",
        "<![CDATA[",
        "> ```",
        "- ```\n  a",
        "a\n\n    ```",
        "<div>",
        "# a\n```",
    ],
)
@pytest.mark.parametrize("kind", [Kind.USER, Kind.ASSISTANT, Kind.SYSTEM, Kind.THINKING, Kind.ERROR])
def test_an_open_block_ends_with_its_message(kind: Kind, text: str) -> None:
    events = [
        said(kind, text),
        called(),
        gave(text),
        said(Kind.ASSISTANT, "ok", model="m"),
        said(Kind.USER, text),
    ]
    assert stand_at_top_level(events, EVERYTHING)
    assert text.split("\n")[0].strip("> -") in rendered(events, EVERYTHING).text


@pytest.mark.parametrize("name", ["</summary>", "<!--", "</details>", "`", "&amp;", '"x"', "# a", "- a"])
def test_a_name_of_a_tool_stands_as_it_is(name: str) -> None:
    events = [called(name, {name: name}), gave(name)]
    assert stand_at_top_level(events, EVERYTHING)
    parsed = PARSER.parse(rendered(events, EVERYTHING).text)
    opened = next(token for token in parsed if token.type == "html_block")
    assert opened.content.count("<") == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"command": "npm test", "description": "Run the tests"}, "Bash — Run the tests"),
        ({"command": "npm test"}, "Bash — npm test"),
        ({"command": ["bash", "-lc", "ls"], "justification": ""}, "Bash — bash -lc ls"),
        ({"content": "much", "file_path": "src/a.py"}, "Bash — src/a.py"),
        ({"description": "two\n\nlines  <b>\x1b[31m"}, "Bash — two lines &lt;b&gt;␛[31m"),
        ({"description": "w" * 500}, f"Bash — {'w' * 79}…"),
        ({"description": 7, "path": None}, "Bash"),
        ({}, "Bash"),
        (["ls"], "Bash"),
        ("*** Begin Patch", "Bash"),
    ],
)
def test_a_headline_says_what_a_call_is_for(given: Any, told: str) -> None:
    assert f"<summary>Tool: {told}</summary>" in rendered([called(given=given)], EVERYTHING).text


@pytest.mark.parametrize("name", ["a\n\n```", "a\r\rb", "a\n\n# b"])
def test_a_name_of_a_tool_is_of_one_line(name: str) -> None:
    assert "\n<summary>Tool: a " in one_line_each(rendered([called(name)], EVERYTHING).text)
    assert stand_at_top_level([called(name)], EVERYTHING)


@pytest.mark.parametrize("text", ["<details>\n```", "<summary>a\n~~~\n# b", "</details>\n<!--"])
def test_an_open_block_behind_a_fold_in_thinking_ends_with_it(text: str) -> None:
    assert stand_at_top_level([said(Kind.THINKING, text)], EVERYTHING)


@pytest.mark.parametrize("text", [" ```\na\n```", "```\na\n  ```", "  - ```\n```\n```", "  <!--\na\n  -->"])
def test_italics_leave_blocks_alone(text: str) -> None:
    look = EVERYTHING.model_copy(update={"italic_user": True})
    assert stand_at_top_level([said(Kind.USER, text)], look)
    assert rendered([said(Kind.USER, text)], look).text.partition("\n\n")[2].startswith(text)


@pytest.mark.parametrize("text", ["  ```\na", "    - b\n  ```\na", "   ~~~\n\n# a"])
def test_a_text_does_not_go_on_in_the_list_of_the_one_before(text: str) -> None:
    assert stand_at_top_level([said(Kind.USER, "- a"), said(Kind.USER, text)], EVERYTHING)


def test_a_conversation() -> None:
    events = [
        said(Kind.USER, "make\r\ntea\n\n"),
        said(Kind.THINKING, "green?"),
        said(Kind.ASSISTANT, "I *shall*.", model="claude-opus-4-5"),
        called("Bash", {"command": "tea"}),
        gave("hot", ts=None),
        said(Kind.ASSISTANT, "Done.", model="claude-opus-4-5", ts=None),
        said(Kind.USER, "thanks", ts=None),
    ]
    look = PLAIN.model_copy(update={"tool_calls": True, "tool_results": True, "username": "ann"})
    found = rendered(events, look)
    assert found.text == (
        "# ann_2026-11-21_1200_05\n\nmake\ntea\n\n"
        "# assistant_2026-11-21_1200_05\n\n"
        "<details>\n<summary>Thinking</summary>\n\ngreen?\n\n</details>\n\n"
        "# claude-opus-4.5_2026-11-21_1200_05\n\nI *shall*.\n\n"
        "<details>\n<summary>Tool: Bash — tea</summary>\n\n"
        '```json\n{\n  "command": "tea"\n}\n```\n\n</details>\n\n'
        "<details>\n<summary>Result: Bash</summary>\n\n```\nhot\n```\n\n</details>\n\n"
        "Done.\n\n"
        "# ann_unknown-time\n\nthanks\n\n"
    )
    assert found.participants == ["claude-opus-4.5"]
    assert found.kinds == ["message.user", "thinking", "message.assistant", "tool.call", "tool.result"]
    assert found.beside == []


@pytest.mark.parametrize(
    ("model", "speaker"),
    [
        (None, "assistant"),
        ("", "assistant"),
        ("claude-opus-4-5", "claude-opus-4.5"),
        ("claude-opus-4-15", "claude-opus-4.15"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
        ("gpt-5", "gpt-5"),
        ("gpt-4-0613", "gpt-4-0613"),
    ],
)
def test_speakers(model: str | None, speaker: str) -> None:
    assert speaker_of(model) == speaker
    assert headings_in(text_of(said(Kind.ASSISTANT, "a", model=model))) == [f"{speaker}_2026-11-21_1200_05"]


@pytest.mark.parametrize(
    "name", ["a_b*c*", "<b>", "[x](y)", "# a", "a`b`", "&lt;", "a\\", "~a~", "![a]", "a #"]
)
def test_a_heading_says_the_name_as_it_is(name: str) -> None:
    assert headings_in(text_of(said(Kind.USER, "a"), username=name)) == [f"{name}_2026-11-21_1200_05"]


@pytest.mark.parametrize(
    ("zone", "stamp"),
    [
        ("UTC", "2026-11-21_1200_05"),
        ("Asia/Kathmandu", "2026-11-21_1745_05"),
        ("America/New_York", "2026-11-21_0700_05"),
        ("Pacific/Kiritimati", "2026-11-22_0200_05"),
        ("nowhere", "2026-11-21_1200_05"),
        ("../x", "2026-11-21_1200_05"),
        ("Europe", "2026-11-21_1200_05"),
        ("a\x00", "2026-11-21_1200_05"),
        ("", "2026-11-21_1200_05"),
        ("local", f"{NOON.astimezone():%Y-%m-%d_%H%M_%S}"),
    ],
)
def test_headings_tell_the_time_in_a_zone(zone: str, stamp: str) -> None:
    assert headings_in(text_of(said(Kind.USER, "a"), timezone=zone)) == [f"user_{stamp}"]


@pytest.mark.parametrize(
    ("ts", "zone"),
    [
        (datetime.min.replace(tzinfo=UTC), "America/New_York"),
        (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo"),
    ],
)
def test_the_first_and_last_moments_have_a_heading(ts: datetime, zone: str) -> None:
    assert len(headings_in(text_of(said(Kind.USER, "a", ts=ts), timezone=zone))) == 1


def test_the_same_speaker_has_one_heading() -> None:
    events = [
        said(Kind.USER, "1"),
        said(Kind.USER, "2"),
        called(),
        said(Kind.USER, "3"),
        said(Kind.ASSISTANT, "4"),
        said(Kind.THINKING, "5"),
        said(Kind.ASSISTANT, "6"),
        said(Kind.ASSISTANT, "7", model="m"),
        said(Kind.USER, "8", ts=None),
    ]
    assert [one.split("_")[0] for one in headings_in(text_of(*events))] == ["user", "assistant", "m", "user"]


def test_the_final_answer_that_repeats_the_last_comment_is_shown_once() -> None:
    comment = said(Kind.ASSISTANT, "Tea.", phase="commentary", turn_id="t")
    final = said(Kind.ASSISTANT, "Tea.\n", phase="final", turn_id="t")
    assert text_of(comment, final).count("Tea.") == 1
    assert text_of(comment, said(Kind.THINKING, "hm"), called(), final).count("Tea.") == 1
    assert text_of(comment, final, commentary=False).count("Tea.") == 1
    assert rendered([comment, final], PLAIN, 1).text.count("Tea.") == 1
    assert text_of(comment, final.model_copy(update={"turn_id": "u"})).count("Tea.") == 2
    assert text_of(*(one.model_copy(update={"turn_id": None}) for one in (comment, final))).count("Tea.") == 2
    assert text_of(comment, final.model_copy(update={"text": "Tea!"})).count("Tea") == 2


@pytest.mark.parametrize(
    "second",
    [
        said(
            Kind.ASSISTANT,
            "a",
            turn_id="t",
            phase="final",
            enclosed=(Enclosed(sha256=SHA, media_type="", size=1),),
        ),
        said(Kind.ASSISTANT, "a", turn_id="t", phase="commentary"),
        said(Kind.ASSISTANT, "a", turn_id="t", model="other"),
    ],
)
def test_only_a_final_answer_repeats_a_comment(second: ConversationEvent) -> None:
    first = said(Kind.ASSISTANT, "a", turn_id="t", phase="commentary")
    assert text_of(first, second) != text_of(first)


def test_what_a_program_put_in_is_not_shown() -> None:
    assert text_of(said(Kind.USER, "reminder", injected=True)) == ""


@pytest.mark.parametrize("kind", [Kind.USAGE, Kind.TITLE])
def test_what_nobody_said_is_not_shown(kind: Kind) -> None:
    assert text_of(said(kind, "a")) == ""


QUESTION = Choice(key="k", question="Which tea?", options=("green", "black"), chosen=("green",))


@pytest.mark.parametrize(
    ("flag", "event", "shown"),
    [
        ("commentary", said(Kind.ASSISTANT, "I look", phase="commentary"), "I look"),
        ("thinking", said(Kind.THINKING, "hm"), "<summary>Thinking</summary>\n\nhm\n\n</details>"),
        ("tool_calls", called(given="ls -l"), "<summary>Tool: Bash</summary>\n\n```\nls -l\n```"),
        ("tool_results", gave("out", name="Bash"), "<summary>Result: Bash</summary>\n\n```\nout\n```"),
        ("tool_results", gave("out", error=True), "<summary>Error: tool</summary>"),
        ("system_events", said(Kind.SYSTEM, "be kind"), "# system_2026-11-21_1200_05\n\nbe kind\n\n"),
        ("decisions", said(Kind.DECISION, choice=QUESTION), "**Decision [k]:** Which tea?"),
        ("decision_options", said(Kind.DECISION, choice=QUESTION), "\n- green\n- black\n"),
        ("decision_selection", said(Kind.DECISION, choice=QUESTION), "\n\nChosen: green\n"),
        ("italic_user", said(Kind.USER, "tea"), "\n\n*tea*\n\n"),
    ],
)
def test_flags_switch_things_on_and_off(flag: str, event: ConversationEvent, shown: str) -> None:
    assert shown in text_of(event, **{flag: True})
    assert shown not in text_of(event, **{flag: False})


def test_nothing_is_left_of_what_is_switched_off() -> None:
    names = ("commentary", "thinking", "tool_calls", "tool_results", "decisions", "system_events")
    look = PLAIN.model_copy(update=dict.fromkeys(names, False))
    events = [
        said(Kind.ASSISTANT, "a", phase="commentary", model="m"),
        said(Kind.THINKING, "b"),
        called(given="x" * 5000),
        gave("y" * 5000),
        said(Kind.DECISION, choice=QUESTION),
        said(Kind.SYSTEM, "c"),
    ]
    assert rendered(events, look) == Rendered()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tea", "*tea*"),
        ("a\n\nb", "*a*\n\n*b*"),
        ("- a\n> b\n# c\n| d |", "- a\n> b\n# c\n| d |"),
        ("```\n```", "```\n```"),
        ("1. a\n    b\n\tc", "1. a\n    b\n\tc"),
        ("a *b* c", "a *b* c"),
    ],
)
def test_plain_lines_of_users_are_italic(text: str, shown: str) -> None:
    assert text_of(said(Kind.USER, text), italic_user=True).partition("\n\n")[2] == f"{shown}\n\n"
    assert text_of(said(Kind.ASSISTANT, text), italic_user=True).partition("\n\n")[2] == f"{text}\n\n"


@pytest.mark.parametrize("text", ["```\ncode\n```", "  - a", "a\\", "[a]: /b"])
def test_italics_change_no_code_and_no_marks(text: str) -> None:
    html = PARSER.render(text_of(said(Kind.USER, text), italic_user=True))
    assert html.replace("<em>", "").replace("</em>", "") == PARSER.render(text_of(said(Kind.USER, text)))


def test_participants_are_told() -> None:
    events = [said(Kind.USER, "a"), said(Kind.ASSISTANT, "b", model="m-4-5"), said(Kind.USER, "c")]
    assert rendered(events).participants == ["m-4.5"]
    named = PLAIN.model_copy(update={"participant_username": True, "username": "ann"})
    assert rendered(events, named).participants == ["ann", "m-4.5"]


def test_the_last_line_of_an_output_makes_no_empty_one() -> None:
    assert "```\na.txt\n```\n" in rendered([gave("a.txt\n")], EVERYTHING).text
    assert "```\na.txt\n\n```\n" in rendered([gave("a.txt\n\n")], EVERYTHING).text


@pytest.mark.parametrize("given", ["x" * LONGEST_SHOWN, "", "```\n" * 1000])
def test_what_is_not_too_long_is_shown_whole(given: str) -> None:
    found = rendered([called(given=given), gave(given)], EVERYTHING)
    assert found.beside == []
    assert found.text.count(given.removesuffix("\n") + "\n") >= 2


@pytest.mark.parametrize("output", ["x" * (LONGEST_SHOWN + 1), "`" * 5000, "é\n" * 3000])
def test_what_is_too_long_is_beside(output: str) -> None:
    found = rendered([gave(output, name="Bash")], EVERYTHING)
    [file] = found.beside
    assert (file.text, file.sha256) == (output, None)
    fence, link = [one for one in PARSER.parse(found.text) if one.type in ("fence", "inline")]
    assert fence.content == output[:LONGEST_SHOWN] + "…\n"
    assert link.content == f"[all of it](<my tea.assets/{file.name}>)"
    assert Path(file.name).name == file.name
    assert file.name.endswith(".txt")


def test_long_inputs_are_beside_too_and_differ_by_name() -> None:
    look = EVERYTHING
    found = rendered([called(given={"a": "x" * 5000}), called(given="y" * 5000), gave("y" * 5000)], look)
    assert len({one.name for one in found.beside}) == 3
    assert json.loads(found.beside[0].text or "") == {"a": "x" * 5000}


@pytest.mark.parametrize(
    ("media_type", "link"),
    [
        ("image/png", "![image/png](<tea.assets/0123456789abcdef.png>)"),
        ("image/jpeg", "![image/jpeg](<tea.assets/0123456789abcdef.jpg>)"),
        ("image/x-y", "![image/x-y](<tea.assets/0123456789abcdef.bin>)"),
        ("application/pdf", "[application/pdf](<tea.assets/0123456789abcdef.pdf>)"),
        ("a]\n\n(b", "[a\\] (b](<tea.assets/0123456789abcdef.bin>)"),
    ],
)
@pytest.mark.parametrize("text", ["look", None])
def test_what_came_with_a_message_is_linked(media_type: str, link: str, text: str | None) -> None:
    one = Enclosed(sha256=SHA, media_type=media_type, size=3)
    for event in (said(Kind.USER, text, enclosed=(one,)), said(Kind.ASSISTANT, text, enclosed=(one,))):
        found = rendered([event])
        assert found.text.partition("\n\n")[2] == (f"{text}\n\n" if text else "") + f"{link}\n\n"
        assert found.beside == [Beside(link[link.index(SHA[:16]) : -2], sha256=SHA)]
    inside = text_of(gave(text, enclosed=(one,)), tool_results=True)
    assert inside.endswith(f"```\n\n{link}\n\n</details>\n\n")


@pytest.mark.parametrize("name", ["a<b>c", "50% off", "a&amp;b", "a#b?c", "a\\b", "a%20b", "ü (x)"])
def test_a_link_leads_to_the_file_whatever_its_folder_is_called(name: str) -> None:
    look = EVERYTHING.model_copy(update={"beside": f"{name}.files"})
    event = said(Kind.USER, "see", enclosed=(Enclosed(sha256="a" * 64, media_type="image/png", size=1),))
    tokens = PARSER.parse(rendered([event], look).text)
    [image] = [one for token in tokens for one in token.children or () if one.type == "image"]
    assert unquote(str(image.attrs["src"])) == f"{name}.files/{'a' * 16}.png"


def test_results_are_named_after_their_call() -> None:
    look = {"tool_results": True}
    assert "Result: Bash<" in text_of(called("Bash"), gave("a"), **look)
    assert "Result: Read<" in text_of(called("Bash"), gave("a", name="Read"), **look)
    assert "Result: tool<" in text_of(called("Bash", call_id="other"), gave("a"), **look)
    assert "Result: tool<" in text_of(called(None), gave("a"), **look)
    assert "Result: Bash<" in rendered([called("Bash"), gave("a")], Look(**look), 1).text
    agent = gave("a", agent_id="a_1")
    linked = "[Sub-agent a\\_1](<tea.assets/agent-a_1.md>)\n\n"
    assert linked in text_of(agent, **look)
    assert text_of(agent) == linked
    assert "Sub-agent: a\\_1\n" in text_of(agent, **look, beside="")
    assert text_of(agent, beside="") == ""
    assert "Sub-agent" not in text_of(agent, **look, agent_id="a_1"), "it is its own conversation"


def test_calls_are_forgotten_before_they_are_too_many() -> None:
    state: dict[str, Any] = {}
    for number in range(2000):
        Markdown().render(called(call_id=str(number)), PLAIN, state, Rendered())
    assert len(json.dumps(state)) < 20_000
    assert state["calls"]["1999"] == "Bash"


@pytest.mark.parametrize(
    ("text", "relative", "wiki"),
    [
        ("[a](/w/plans/b.md)", "[a](b.md)", "[[b]]"),
        ("[a](/w/b.md) [c](/w/c/d.py)", "[a](../b.md) [c](../c/d.py)", "[[b]] [c](../c/d.py)"),
        ("![a](/w/c.png)", "![a](../c.png)", "![a](../c.png)"),
        ("[a](/x/b.md)", "[a](/x/b.md)", "[a](/x/b.md)"),
        ("[a](/ww/b.md)", "[a](/ww/b.md)", "[a](/ww/b.md)"),
        ("[a](b.md) (/w/b.md)", "[a](b.md) (/w/b.md)", "[a](b.md) (/w/b.md)"),
        ("[a](https://b/w/c.md)", "[a](https://b/w/c.md)", "[a](https://b/w/c.md)"),
    ],
)
def test_links_to_files_of_the_workspace(text: str, relative: str, wiki: str) -> None:
    event = said(Kind.ASSISTANT, text)
    where = {"root": "/w", "folder": "/w/plans"}
    assert text_of(event, **where).partition("\n\n")[2] == f"{relative}\n\n"
    assert text_of(event, **where, wikilinks=True).partition("\n\n")[2] == f"{wiki}\n\n"
    assert text_of(event, **where, relative_links=False).partition("\n\n")[2] == f"{text}\n\n"
    assert text_of(event, folder="/w/plans").partition("\n\n")[2] == f"{text}\n\n"


def test_a_link_out_of_the_workspace_stays_as_it_is() -> None:
    text = text_of(said(Kind.ASSISTANT, "[a](/w/../etc/b.md)"), root="/w", folder="/w", wikilinks=True)
    assert text.endswith("\n\n[a](/w/../etc/b.md)\n\n")


@pytest.mark.parametrize("code", ["```\n[a](/w/b.md)\n```", "`[a](/w/b.md)`"])
def test_code_stays_as_it_is(code: str) -> None:
    assert code in text_of(said(Kind.ASSISTANT, code), root="/w", folder="/w/plans")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (said(Kind.USER), "# user_2026-11-21_1200_05\n\n"),
        (said(Kind.USER, " \n\t\n"), "# user_2026-11-21_1200_05\n\n"),
        (said(Kind.ASSISTANT), "# assistant_2026-11-21_1200_05\n\n"),
        (said(Kind.SYSTEM), ""),
        (said(Kind.THINKING), ""),
        (said(Kind.TOOL_CALL), ""),
        (said(Kind.TOOL_RESULT), ""),
        (said(Kind.DECISION), ""),
        (said(Kind.ERROR), "> **Error:** something went wrong\n\n"),
        (said(Kind.ERROR, "a\n\n*b*"), "> **Error:** a \\*b\\*\n\n"),
        (said(Kind.COMPACTION), "*The conversation was compacted here.*\n\n"),
        (said(Kind.REWIND), "*What came before was taken back, up to an earlier point.*\n\n"),
    ],
)
def test_events_without_anything_in_them(event: ConversationEvent, text: str) -> None:
    assert rendered([event], EVERYTHING).text == text


def test_what_is_left_of_a_compacted_conversation_is_folded_away_and_told_once() -> None:
    boundary = said(Kind.COMPACTION, "Conversation compacted", details={"boundary": True})
    summary = said(Kind.COMPACTION, "We spoke of </details> tea.\n```\nopen", injected=True)
    told = "*The conversation was compacted here.*\n\n"
    fold = (
        "<details>\n<summary>What was said before, in short</summary>\n\n"
        "We spoke of &lt;/details> tea.\n```\nopen\n```\n\n</details>\n\n"
    )
    assert text_of(summary) == told + fold
    assert text_of(boundary, summary, summary) == told + fold + told + fold
    assert text_of(boundary, boundary) == told + told


def test_what_a_user_did_without_words_is_told() -> None:
    command = said(Kind.USER, "<command-name>/a_b</command-name>", injected=True, details={"command": "/a_b"})
    assert text_of(command) == "# user_2026-11-21_1200_05\n\n/a\\_b\n\n"
    stopped = said(Kind.USER, "[Request interrupted by user]", injected=True, details={"interrupted": True})
    assert text_of(stopped) == "*The user interrupted here.*\n\n"
    both = said(Kind.USER, "No.", details={"interrupted": True})
    assert text_of(both).endswith("interrupted here.*\n\n# user_2026-11-21_1200_05\n\nNo.\n\n")


def test_a_file_begins_with_front_matter_if_wanted() -> None:
    found = rendered([said(Kind.ASSISTANT, "a", model="m")])
    look = PLAIN.model_copy(update={"title": "Tea"})
    head = Markdown().head(look, found)
    assert head == made(look, found)
    more = Rendered(participants=["m", "x"])
    assert "- x\n" in (Markdown().headed(head + found.text, look, more, NOON) or "")
    bare = look.model_copy(update={"front_matter": False})
    assert Markdown().head(bare, found) == ""
    assert Markdown().headed(head, bare, more, NOON) is None


@settings(max_examples=200, deadline=None)
@given(CONVERSATIONS, LOOKS, st.lists(st.integers(0, 6), max_size=2))
def test_jsonl_is_read_back_line_by_line(
    events: list[ConversationEvent], look: Look, cuts: list[int]
) -> None:
    found = rendered(events, look, *(min(cut, len(events)) for cut in cuts), by=Jsonl())
    *lines, last = found.text.split("\n")
    assert last == ""
    assert [ConversationEvent.model_validate_json(line) for line in lines] == events
    assert found.beside == []


def test_jsonl_has_no_head() -> None:
    assert Jsonl().head(PLAIN, Rendered()) == ""
    assert Jsonl().headed("{}\n", PLAIN, Rendered(), NOON) is None


def test_writers_are_found_by_their_format() -> None:
    found = installed()
    assert {name: (type(one), one.extension) for name, one in found.items()} == {
        "markdown": (Markdown, ".md"),
        "jsonl": (Jsonl, ".jsonl"),
        "html": (Html, ".html"),
    }
    assert all(name == one.format for name, one in found.items())


@pytest.mark.parametrize("look", [PLAIN, Look(timezone="UTC", beside="tea.assets", tool_results=True)])
def test_what_a_tool_or_sub_agent_gave_is_not_told_as_the_users(look: Look) -> None:
    call = called("Task").model_copy(update={"model": "claude-opus-4-8"})
    found = rendered([said(Kind.USER, "look"), call, gave("found", agent_id="abc")], look)
    headings = [line for line in found.text.splitlines() if line.startswith("# ")]
    assert headings == ["# user_2026-11-21_1200_05", "# claude-opus-4.8_2026-11-21_1200_05"]
    assert found.text.index("# claude") < found.text.index("Sub-agent abc")
