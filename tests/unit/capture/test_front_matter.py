"""The front matter of a recording, against a parser of YAML."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # stubs for it are not installed
from hypothesis import example, given, reject
from hypothesis import strategies as st

from minoots_platform.writers import Look, Rendered, yaml_head
from minoots_platform.writers.front_matter import grown, made

LOADERS = [pytest.param(yaml.SafeLoader, id="python")] + (
    [pytest.param(yaml.CSafeLoader, id="c")] if yaml.__with_libyaml__ else []
)
NOW = datetime(2026, 11, 21, 10, 0, 0, 123_000, tzinfo=UTC)
MILLIS = 1_795_255_200_123

WORDS = st.sampled_from(
    [
        *(
            "",
            "yes",
            "No",
            "null",
            "~",
            "1",
            "1e3",
            "0x1f",
            "2026-11-21",
            "12:30",
            "- a",
            "a: b",
            "a #b",
            "#a",
        ),
        *(
            "'a'",
            '"a"',
            "it's",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "{a}",
            "[a]",
            "a ",
            " a",
            "a\\nb",
            "a\nb",
        ),
        *(
            "---",
            "...",
            "=",
            "<<",
            "?",
            "|",
            ">",
            "é",
            "日本",
            "\U0001f600",
            "\t",
            "\x00",
            "\x7f",
            "a:",
            "a-4.5",
        ),
    ]
)
# Without what a reader of YAML takes for no text or for the end of a line: they have a test of their own.
PRINTED = st.characters(
    exclude_categories=["Cs"],
    exclude_characters="".join(map(chr, range(0x80, 0xA0))) + "\u2028\u2029\ufffe\uffff",
)
VALUES = WORDS | st.text(PRINTED, max_size=12)
SOME = st.lists(VALUES, max_size=4, unique=True)


def look_of(**values: Any) -> Look:
    """A look with nothing in its front matter but what is given."""
    return Look(**{"session_ids": False, "recording_ids": False, **values})


def read(text: str) -> dict[str, Any]:
    """What a front matter says."""
    begin, head, behind = text.split("---\n", 2)
    assert (begin, behind.partition("\n")[0]) == ("", "")
    values = yaml.safe_load(head)
    assert isinstance(values, dict)
    return values


@given(VALUES, VALUES, VALUES, SOME, SOME, SOME)
def test_what_is_made_is_read_back(
    title: str, id: str, session: str, tags: list[str], participants: list[str], kinds: list[str]
) -> None:
    look = Look(
        title=title,
        id=id,
        created=NOW,
        session_id=session,
        workspace_id="notes",
        recording_id="r-1",
        tags=tuple(tags),
        event_kinds=True,
    )
    # Those that may grow have their place from the beginning.
    growing = {"participants": participants, "conversationEventKinds": kinds}
    assert read(made(look, Rendered(participants=participants, kinds=kinds))) == {
        "id": id,
        "title": title,
        "desc": "",
        "created": MILLIS,
        "sessionIds": [session],
        "workspaceIds": ["notes"],
        "recordingIds": ["r-1"],
        **({"tags": tags} if tags else {}),
        **growing,
    }


@pytest.mark.parametrize("text", ["\x80", "a\x85b", "\x9f", "a \u2028 b", "a \u2029 b", "\ufffe", "\uffff"])
def test_strange_characters_are_read_back(text: str) -> None:
    assert read(made(look_of(title=text), Rendered()))["title"] == text


def test_what_is_made_has_a_blank_line_behind_it() -> None:
    assert made(look_of(id="a", title="Tea: how to", created=NOW, tags=("x",)), Rendered()) == (
        f'---\nid: a\ntitle: "Tea: how to"\ndesc: ""\ncreated: {MILLIS}\nparticipants: []\n'
        "tags:\n  - x\n---\n\n"
    )


@pytest.mark.parametrize(
    ("look", "keys"),
    [
        (
            Look(session_id="s", workspace_id="w", recording_id="r"),
            {"sessionIds", "workspaceIds", "recordingIds"},
        ),
        (Look(session_id="s", workspace_id=None, recording_id="r"), {"sessionIds", "recordingIds"}),
        (look_of(workspace_id="w", workspace_ids=False), set()),
        (look_of(tags=("a",)), {"tags"}),
        (look_of(event_kinds=True), {"conversationEventKinds"}),
        (look_of(created=NOW), {"created"}),
    ],
)
def test_only_what_is_asked_for_is_in_it(look: Look, keys: set[str]) -> None:
    found = read(made(look, Rendered(participants=["user"], kinds=["thinking"])))
    assert found.keys() == {"id", "title", "desc", "participants"} | keys


@given(SOME, SOME)
@example(["it's"], ["'it''s'"])
def test_lists_grow_by_what_is_new(first: list[str], second: list[str]) -> None:
    look = look_of(title="t")
    text = made(look, Rendered(participants=first)) + "# a\n\n---\n"
    more = Rendered(participants=second)
    longer = grown(text, look, more, NOW)
    together = [*first, *(one for one in second if one not in first)]
    assert (longer is None) == (together == first)
    if longer is not None:
        assert read(longer) == {"id": "", "title": "t", "desc": "", "participants": together}
        assert longer.endswith("---\n\n# a\n\n---\n")
        before = [line for line in text.split("\n") if line != "participants: []"]
        assert [line for line in longer.split("\n") if line in before] == before
        assert grown(longer, look, more, NOW) is None


LOOK_X = look_of(tags=("x",), updated=False)

MINE = """---
# mine: as it is
zeta:   1
tags:   
  - a   
  - 'b'
  - "c"
  -   d
title: 'Tea'   # of the morning
nested:
  participants:
    - nobody
text: |
  tags:
    - x

"quoted": {a: [1,2]}
participants: []
---
tags:
  - in the text
"""


def test_everything_else_stays_as_it_is() -> None:
    look = look_of(tags=("d", "e", "c", "b", "a", "f: g"), title="Coffee")
    longer = grown(MINE, look, Rendered(participants=["user"]), NOW)
    assert longer == (
        MINE.replace("  -   d\n", '  -   d\n  - e\n  - "f: g"\n').replace(
            "participants: []\n", "participants:\n  - user\n"
        )
    )
    assert grown(longer, look, Rendered(participants=["user"]), NOW) is None


def test_a_list_that_is_not_there_is_added_at_the_end() -> None:
    assert grown("---\na: 1\n---\nb\n", look_of(tags=("x", "z")), Rendered(), NOW) == (
        "---\na: 1\ntags:\n  - x\n  - z\n---\nb\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "# a\n",
        "---",
        "---\n",
        "---\na: 1\n",
        "--- \na: 1\n ---\n",
        "\n---\na: 1\n---\n",
        "----\na: 1\n---\n",
        "----\na: 1\n----\n",
        "---\na: [1\n---\n",
        "---\na: 'b\n---\n",
        "---\na: *nobody\n---\n",
    ],
)
def test_where_there_is_none_or_a_broken_one_nothing_is_done(text: str) -> None:
    assert grown(text, look_of(tags=("x",), updated=True), Rendered(participants=["user"]), NOW) is None


@pytest.mark.parametrize(
    ("text", "longer"),
    [
        ("tags: [a, b]", "tags: [a, b, x]"),
        ("tags: [a, b, ] # mine", "tags: [a, b, x, ] # mine"),
        ("tags: [a,\n  b]", "tags: [a,\n  b, x]"),
        ("tags: [a, # first\n  b # second\n  ]", "tags: [a, # first\n  b, x # second\n  ]"),
        ("tags: [] # mine", "tags: [x] # mine"),
        ("tags: &t []", "tags: &t [x]"),
        ("tags: # mine\n  - a", "tags: # mine\n  - a\n  - x"),
        ("tags: # mine", "tags: # mine\n  - x"),
        ('"tags":\n- a\n# mine\nb: 1', '"tags":\n- a\n- x\n# mine\nb: 1'),
        ("tags:\n  - |\n    a\n    - b\n\nc: 1", "tags:\n  - |\n    a\n    - b\n\n  - x\nc: 1"),
        ("tags:\n  -\n    - a\n", "tags:\n  -\n    - a\n  - x\n"),
        ("tags:\n  - {a: 1,\n     b: 2} # mine\n", "tags:\n  - {a: 1,\n     b: 2} # mine\n  - x\n"),
        ("a: &a b\ntags:\n  - *a # mine", "a: &a b\ntags:\n  - *a # mine\n  - x"),
        ("tags: &t\n  - a", "tags: &t\n  - a\n  - x"),
        ("a: |+\n  b\n\n", "a: |+\n  b\n\ntags:\n  - x\n"),
        ("# mine", "# mine\ntags:\n  - x"),
        ("", "tags:\n  - x"),
    ],
)
@pytest.mark.parametrize("loader", LOADERS)
def test_lists_grow_however_they_are_written(
    text: str, longer: str, loader: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_head, "_LOADER", loader)
    before, after = (
        f"---\n{one}{'' if one.endswith(chr(10)) or not one else chr(10)}---\n" for one in (text, longer)
    )
    assert grown(before, LOOK_X, Rendered(), NOW) == after


@pytest.mark.parametrize(
    "text",
    [
        "tags: a",
        "tags: ~",
        "tags: ''",
        "tags: {a: 1}",
        "tags: !!set {a}",
        "tags: &t [a]\nb: *t",
        "tags: &t\nb: *t",
        "b: &t [a]\ntags: *t",
        "tags: [a]\ntags: [b]",
        "{tags: [a]}",
        "tags: [a]\n...\nb: 1",
        "a:\n\t- b",
        "tags:\n\t- b",
        "a: \x00",
        "a: \udc80",
        "a: *b\nb: &b 1",
        "a: " + "[" * 3000,
        "a: '" + "b" * 70_000 + "'",
    ],
)
@pytest.mark.parametrize("loader", LOADERS)
def test_what_cannot_grow_for_certain_is_left_alone(
    text: str, loader: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_head, "_LOADER", loader)
    assert grown(f"---\n{text}\n---\n", LOOK_X, Rendered(), NOW) is None


LINES = st.sampled_from(
    [
        "# mine",
        "",
        "   # deep",
        "a: 1 # one",
        "b: |",
        "c: >-",
        "  tags:",
        "  - x",
        "  participants: []",
        "d: &d [u, v]",
        "e: *d",
        "tags:",
        "tags: [a, 'b']",
        "tags: &t",
        "- a",
        "  - *d",
        "  - 'it''s' # so",
        '"participants": [',
        "  ]",
        "participants:   # who",
        "f: {g: [h, ",
        " ]}",
        "updated: 5 # then",
        "updated:",
        "? tags",
        ": - y",
        "<<: *d",
        "g: 'a",
        "  b'",
        "h: \u2028",
        "é: \U0001f600",
    ]
)


@pytest.mark.parametrize("loader", LOADERS)
@given(lines=st.lists(LINES, max_size=8), ending=st.sampled_from(["\n", "\r\n"]))
@example(lines=["updated:", "  b'", "  - *d"], ending="\n")
def test_nothing_of_anybody_s_is_lost(lines: list[str], ending: str, loader: type) -> None:
    text = ending.join(["---", *lines, "---", "behind", ""])
    look = look_of(tags=("x", "y: z"), updated=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_head, "_LOADER", loader)
        longer = grown(text, look, Rendered(participants=["user"]), NOW)
    if longer is None:
        return
    try:
        before = yaml.safe_load(text.split("---")[1]) or {}
    except yaml.YAMLError:
        reject()  # read, but nothing can be made of it
    after = yaml.safe_load(longer.split("---")[1])
    ours = ("tags", "participants", "updated")
    assert {key: one for key, one in after.items() if key not in ours} == {
        key: one for key, one in before.items() if key not in ours
    }
    for key in ours[:2]:
        old = before.get(key) if isinstance(before.get(key), list) else []
        assert after.get(key, ()) == before.get(key, ()) or after[key][: len(old)] == old
    # Letter by letter, but for the time and the brackets of an empty list of ours.
    rest = iter(longer)
    kept = re.sub(r"(?<=participants:) \[\]", "", without_time(text))
    assert all(letter in rest for letter in kept)


def without_time(text: str) -> str:
    """The text without what `updated` says, however many lines that takes."""
    head = text.split("---")[1]
    begin = text.index(head)
    tree = yaml.compose(head)
    for key, value in () if tree is None else tree.value:
        if key.value == "updated" and isinstance(value, yaml.ScalarNode):
            return text[: begin + value.start_mark.index] + text[begin + value.end_mark.index :]
    return text


def test_when_it_was_updated_is_told_only_where_something_is_new() -> None:
    look = look_of(tags=("x",), updated=True)
    assert grown("---\ntags:\n  - x\n---\n", look, Rendered(), NOW) is None
    assert grown("---\na: 1\n---\n", look, Rendered(), NOW) == (
        f"---\na: 1\ntags:\n  - x\nupdated: {MILLIS}\n---\n"
    )
    assert grown("---\nupdated: 1\na: 1\n---\n", look, Rendered(), NOW) == (
        f"---\nupdated: {MILLIS}\na: 1\ntags:\n  - x\n---\n"
    )
    assert "updated" not in (grown("---\na: 1\n---\n", look_of(tags=("x",)), Rendered(), NOW) or "")


@pytest.mark.parametrize("indent", ["", " ", "    "])
def test_new_items_are_indented_like_those_before(indent: str) -> None:
    longer = grown(f"---\ntags:\n{indent}- a\n---\n", look_of(tags=("a", "b")), Rendered(), NOW)
    assert longer is not None
    assert read(longer) == {"tags": ["a", "b"]}


@pytest.mark.parametrize("between", ["  # mine", "", "# mine"])
def test_a_comment_does_not_end_a_list(between: str) -> None:
    text = f"---\ntags:\n  - a\n{between}\n  - b\n---\n"
    assert grown(text, look_of(tags=("a", "b")), Rendered(), NOW) is None


@pytest.mark.parametrize("item", ["it's # mine", '"it\'s" # mine', "'it''s'"])
def test_items_are_known_however_they_are_written(item: str) -> None:
    assert grown(f"---\ntags:\n  - {item}\n---\n", look_of(tags=("it's",)), Rendered(), NOW) is None


@pytest.mark.parametrize("below", ["  a: 1", "  some text", "  |\n  text"])
def test_what_is_no_list_is_left_alone(below: str) -> None:
    assert grown(f"---\ntags:\n{below}\n---\n", look_of(tags=("x",)), Rendered(), NOW) is None


@pytest.mark.parametrize("head", ["- a", "some text", "{a: 1}"])
def test_what_are_no_keys_is_left_alone(head: str) -> None:
    assert grown(f"---\n{head}\n---\n", look_of(tags=("x",)), Rendered(), NOW) is None


def test_ends_of_lines_stay_what_they_are() -> None:
    longer = grown("---\r\ntags:\r\n  - a\r\n---\r\nb\r\n", look_of(tags=("b",)), Rendered(), NOW)
    assert longer == "---\r\ntags:\r\n  - a\r\n  - b\r\n---\r\nb\r\n"


@pytest.mark.parametrize("nested", ["[" * 60 + "]" * 60, "[" * 60_000, "{" * 60_000])
def test_what_is_nested_as_nobody_writes_is_left_as_it_is(nested: str) -> None:
    # It may come with a repository: a reader would look at it for most of a minute, and every time.
    text = f"---\nmine: {nested}\n---\nb\n"
    assert grown(text, look_of(tags=("x",)), Rendered(participants=["user"]), NOW) is None
