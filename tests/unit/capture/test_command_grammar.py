"""Commands inside a chat, from the line to what it means, against a plain reading of what is documented."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from minoots_activities.capture.commands import (
    Command,
    Mistake,
    Verb,
    before_line,
    commands_in,
    destination_in,
    from_line,
)

PARSER = MarkdownIt("commonmark")
VERBS = ("record", "capture", "export", "stop")
ALIAS = set(string.ascii_letters + string.digits + "_.-")

WORDS = st.sampled_from(
    [
        *("record", "capture", "export", "stop", "Record", "STOP", "init", "INIT", "recrod", "stopp", ""),
        *("rec ord", "::", "record\u00a0x", "é"),
    ]
)
ALIASES = st.sampled_from(
    ["notes", "Notes", "a.b_c-d", "9", "", "-", ".x", "_x", "a/b", "ü", "a:b", "x" * 63, "x" * 64, "notes\\"]
)
ARGUMENTS = st.sampled_from(
    [
        "",
        " ",
        "\t",
        " a.md",
        "  plans/my tea.md  ",
        '\t"a b.md"',
        " `a.md`",
        " ::stop",
        " 'x' y",
        " @a",
        " \f",
    ]
)
COMMANDS = st.builds(
    lambda indent, verb, dash, alias, argument: f"{indent}::{verb}{dash}{alias}{argument}",
    st.sampled_from(["", "", "  ", "\t", "x ", "> ", "- ", ":"]),
    WORDS,
    st.sampled_from(["-", "-", "", "--"]),
    ALIASES,
    ARGUMENTS,
)
OTHERS = st.sampled_from(
    [
        *("", " ", "text", "`::stop`", "::", ":: stop", "# heading", "::\u00a0stop"),
        *("```", "````", "```sh", "  ```", "``", "~~~", "~~~~", "~~~ x", "~~", "``` ", "~~~\t", "`~`~"),
    ]
)
TEXTS = st.lists(COMMANDS | OTHERS, max_size=10).flatmap(
    lambda lines: st.lists(
        st.sampled_from(["\n", "\n", "\r\n", "\r"]), min_size=len(lines), max_size=len(lines)
    ).map(lambda ends: "".join(line + end for line, end in zip(lines, ends, strict=True)))
)


def lines_of(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def meaning(line: str) -> tuple[str | None, str | None, str | None] | str | None:
    """Verb, workspace and argument of a line; why it is a mistake; or nothing, where it is no command."""
    bare = line.strip()
    if not bare.startswith("::") or len(bare) == 2 or bare[2] == ":" or bare[2].isspace():
        return None
    token, *rest = bare[2:].split(maxsplit=1)
    argument = rest[0] if rest else None
    word, dash, alias = token.partition("-")
    verb = word.lower()
    if verb == "init":
        return "is no command any more"
    if verb not in VERBS:
        return "is no command; there are"
    if verb == "stop" and not dash:
        return "takes nothing behind it" if argument else (verb, None, None)
    if not alias:
        return "needs a workspace"
    if len(alias) > 63 or not set(alias) <= ALIAS or alias[0] in "_.-":
        return "cannot be a workspace"
    if verb == "stop" and argument:
        return "takes nothing behind it"
    return verb, alias, argument


def hidden(text: str) -> set[int]:
    """The lines that are code or markup, by a parser of CommonMark, or indented as code is."""
    blocks = {
        line + 1
        for token in PARSER.parse(text)
        if token.type in ("fence", "code_block", "html_block") and token.map
        for line in range(*token.map)
    }
    deep = {
        number
        for number, line in enumerate(lines_of(text), 1)
        if line.strip() and line.expandtabs(4).startswith("    ")
    }
    return blocks | deep


def plainly(text: str) -> list[tuple[int, str, object]]:
    """What a text asks for, line by line: outside of code, from the top down."""
    covered = hidden(text)
    return [
        (number, line.strip(), meant)
        for number, line in enumerate(lines_of(text), start=1)
        if number not in covered and (meant := meaning(line)) is not None
    ]


@settings(max_examples=600, deadline=None)
@given(TEXTS)
def test_every_line_means_what_a_plain_reading_says(text: str) -> None:
    found = commands_in(text)
    expected = plainly(text)
    assert [(one.line, one.raw) for one in found] == [(line, raw) for line, raw, _ in expected]
    for one, (_, _, meant) in zip(found, expected, strict=True):
        if isinstance(one, Mistake):
            assert isinstance(meant, str)
            assert meant in one.problem
        else:
            assert (one.verb.value, one.alias, one.argument) == meant


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(1, 12))
def test_a_text_is_divided_at_a_line_and_nothing_is_lost(text: str, line: int) -> None:
    lines = lines_of(text)
    assert before_line(text, line).split("\n") == (lines[: line - 1] or [""])
    assert from_line(text, line).split("\n") == (lines[line - 1 :] or [""])
    for one in commands_in(text):
        assert from_line(text, one.line).split("\n")[0].strip() == one.raw


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["::record-a x.md", "::stop", "::recrod-a", "text"]), max_size=12))
def test_without_fences_every_command_is_read_from_the_top_down(lines: list[str]) -> None:
    found = commands_in("\n".join(lines))
    assert [one.line for one in found] == [
        number for number, line in enumerate(lines, 1) if line.startswith("::")
    ]
    assert [type(one) for one in found] == [
        Mistake if "recrod" in one else Command for one in lines if one.startswith("::")
    ]


EDGES = st.text("ab.-/ü🦉~", min_size=1, max_size=3)


def paths(inner: str) -> st.SearchStrategy[str]:
    """Paths with anything inside, and no quotes or spaces at their ends: those would not be of the path."""
    return st.builds(
        lambda begin, between, end: begin + between + end, EDGES, st.text(inner, max_size=8), EDGES
    )


@settings(max_examples=300, deadline=None)
@given(paths("ab/ '\"`@()[]<>"), st.sampled_from(["{}", "`{}`", '"{}"', "'{}'", '" {} "']))
def test_a_path_is_the_same_in_quotes(path: str, quoted: str) -> None:
    [found] = commands_in(f"::record-notes {quoted.format(path)}")
    assert isinstance(found, Command)
    assert destination_in(found.argument or "") == path


@settings(max_examples=300, deadline=None)
@given(paths("ab/'\"`@"), paths("ab/ '\"`@()[]"), st.sampled_from(["", "tea", "a b", "`x`"]))
def test_a_path_is_the_same_in_a_link(plain: str, spaced: str, label: str) -> None:
    assert destination_in(f"[{label}]({plain})") == plain
    assert destination_in(f"[{label}](<{spaced}>)") == spaced


@pytest.mark.parametrize("outer", ["`", "'", '"'])
@pytest.mark.parametrize("inner", ["`", "'", '"'])
def test_quotes_in_quotes_are_taken_off_in_any_order(outer: str, inner: str) -> None:
    if outer != inner:
        assert destination_in(f"{outer}{inner}a.md{inner}{outer}") == "a.md"


CODE = st.sampled_from(
    [
        *("::record-notes a.md", "::stop", "text", "", "# heading"),
        *("```", "````", "```sh", "~~~", "~~~ `", "~~~~ sh", "  ```", "   ~~~", "```` "),
        *("<pre>", "</pre>", "<!-- a", "b -->", "<div>", "> ```", "> text", "- ```", "  ~~~", "<script>"),
        *("    ::stop", "\t::stop", "      ```", "- a", "  ::stop"),
    ]
)


def obeyed(text: str) -> set[int]:
    return {one.line for one in commands_in(text) if isinstance(one, Command)}


def typed(text: str) -> set[int]:
    return {number for number, line in enumerate(text.split("\n"), 1) if line.strip().startswith("::")}


@settings(max_examples=600, deadline=None)
@given(st.lists(CODE, max_size=10).map("\n".join))
@example("```\n~~~\n::stop\n```\n::stop")
@example("````\n```\n::stop\n````\n::stop")
def test_commands_are_obeyed_wherever_markdown_sees_no_fence(text: str) -> None:
    assert obeyed(text) == typed(text) - hidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "```ls``` tells what is there\n::record-notes a.md",
        "```` ``` ```` is a fence\n::record-notes a.md",
        "````ls```` and ```ls```\ntext\n::record-notes a.md",
    ],
)
def test_code_within_a_line_is_no_fence_and_hides_no_command(text: str) -> None:
    assert hidden(text) == set()
    assert obeyed(text) == typed(text)


@pytest.mark.parametrize(
    "text",
    [
        "```\n    ```\n::record-notes a.md\n```",
        "    ::record-notes a.md",
        "text\n\n\t::stop",
        "- a\n\n      ::stop",
        "<pre>\n::stop\n\n::record-notes\n</pre>",
        "<!--\n::stop\n\n::stop\n-->",
        "<pre>\nnever ended\n::stop",
        "- ```\n  ::stop\n  ```",
        "<details>\n::stop\n</details>",
    ],
)
def test_what_stands_in_code_or_markup_is_not_obeyed(text: str) -> None:
    assert typed(text) <= hidden(text)
    assert obeyed(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "> ```\n> code\n::stop",
        "- ```\n  code\n::stop",
        "<!-- a -->\n::stop",
        "<pre>a</pre>\n::stop",
        "    code\n::stop",
        "> quoted\n\n::stop",
        "- a\n  ::stop",
        "a <pre>\n::stop",
    ],
)
def test_what_stands_behind_it_is_obeyed(text: str) -> None:
    assert obeyed(text) == typed(text) == {text.count("\n") + 1}


@pytest.mark.parametrize("text", ["> ::stop", "> text\n> ::stop", "- ::stop", "text ::stop", "1. ::stop"])
def test_what_is_quoted_or_listed_is_no_command(text: str) -> None:
    assert commands_in(text) == ()


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("<plans/my tea.md>", "plans/my tea.md"),
        ("`<plans/tea.md>`", "plans/tea.md"),
        ("[tea](<plans/my tea.md>)", "plans/my tea.md"),
        ("plans/my\\ tea.md", "plans/my tea.md"),
        ("~/my notes/tea.md", "~/my notes/tea.md"),
        ('"~/tea.md"', "~/tea.md"),
        ("it's.md", "it's.md"),
    ],
)
def test_a_path_may_be_written_as_people_do(argument: str, path: str) -> None:
    assert destination_in(argument) == path


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        (
            "https://tea.example/a.md",
            "got the address 'https://tea.example/a.md': type a path of this machine, such as plans/tea.md",
        ),
        ("<https://tea.example/a.md>", "the address"),
        ("[tea](https://tea.example/a.md)", "the address"),
        ("file:///home/ada/a.md", "the address"),
        ("s3://tea/a.md", "the address"),
        ("mailto:ada@tea.example", "the address"),
        ('"tea.md', "the mark before it has no end"),
        ("`tea.md", "the mark before it has no end"),
        ("<tea.md", "the mark before it has no end"),
        ("<>", "type one such as plans/tea.md"),
        ("tea\x1b[2J.md", "type one such as"),
        ("tea\x9b.md", "type one such as"),
    ],
)
def test_what_cannot_be_a_path_is_refused_with_a_remedy(argument: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        destination_in(argument)
    assert "\x1b" not in str(refused.value)


def test_the_verbs_are_those_that_are_documented() -> None:
    assert tuple(Verb) == VERBS
