"""Commands inside a chat, against a plain reading of the same rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.capture.commands import (
    LONGEST,
    Command,
    Mistake,
    Verb,
    commands_in,
    destination_in,
    from_line,
)

LINES = st.lists(
    st.sampled_from(
        [
            "::record-notes",
            "  ::record-notes plans/tea.md  ",
            "::Export-Notes out.md",
            "::stop",
            "::stop-notes",
            "::stop now",
            "::record",
            "::record-",
            "::unknown",
            "::init x",
            "text ::stop",
            "::",
            ":: stop",
            ":::stop",
            "```",
            "```python",
            "````",
            "~~~",
            "  ```",
            "``` x",
            "plain",
            "",
        ]
    ),
    max_size=12,
)


def plainly(text: str) -> list[tuple[int, str]]:
    """The lines that are commands or mean to be, by the rules and nothing else."""
    fence = ""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        runs = len(bare) - len(bare.lstrip(bare[0])) if bare and bare[0] in "`~" else 0
        if runs >= 3:
            if not fence:
                fence = bare[:runs]
            elif bare[0] == fence[0] and runs >= len(fence) and runs == len(bare):
                fence = ""
            continue
        if not fence and bare.startswith("::") and len(bare) > 2 and bare[2] not in ": ":
            found.append((number, bare))
    return found


@given(LINES)
def test_the_same_lines_are_found_as_by_a_plain_reading(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert [(one.line, one.raw) for one in commands_in(text)] == plainly(text)


@given(st.text(max_size=80))
def test_nothing_that_is_typed_makes_it_fail(text: str) -> None:
    commands_in(text)


@pytest.mark.parametrize(
    ("line", "verb", "alias", "argument"),
    [
        ("::record-notes", Verb.RECORD, "notes", None),
        ("::RECORD-Notes", Verb.RECORD, "Notes", None),
        ("  ::capture-notes  plans/my tea.md ", Verb.CAPTURE, "notes", "plans/my tea.md"),
        ("::export-a.b_c-d out.md", Verb.EXPORT, "a.b_c-d", "out.md"),
        ("::stop", Verb.STOP, None, None),
        ("::Stop-notes", Verb.STOP, "notes", None),
    ],
)
def test_commands(line: str, verb: Verb, alias: str | None, argument: str | None) -> None:
    [found] = commands_in(f"first\r\n{line}\rlast")
    assert found == Command(verb, alias, argument, 2, line.strip())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("::init /tmp/x", "type ::record-<workspace>"),
        ("::record", "type ::record-<workspace>"),
        ("::export-", "type ::export-<workspace>"),
        ("::record-a/b", "cannot be a workspace"),
        ("::stop now", "takes nothing behind it"),
        ("::stop-notes now", "takes nothing behind it"),
        ("::recrod-notes", "::record-<workspace>"),
    ],
)
def test_mistakes_say_what_to_type(line: str, problem: str) -> None:
    [found] = commands_in(line)
    assert isinstance(found, Mistake)
    assert problem in found.problem


def test_several_are_read_from_the_top_down() -> None:
    found = commands_in("::stop\nhello\n::record-a\n```\n::record-b\n```\n::record-c x")
    assert [(one.line, one.raw) for one in found] == [(1, "::stop"), (3, "::record-a"), (7, "::record-c x")]


def test_an_open_fence_hides_everything_behind_it() -> None:
    assert commands_in("```\n::record-a\n~~~\n::record-b") == ()


def test_a_recording_begins_with_the_line_of_its_command() -> None:
    assert from_line("before\r\n::record-a\r\nafter", 2) == "::record-a\nafter"


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("plans/tea.md", "plans/tea.md"),
        ("`plans/my tea.md`", "plans/my tea.md"),
        ('"tea.md"', "tea.md"),
        ("[tea](plans/tea.md)", "plans/tea.md"),
        ("[tea](<plans/my tea.md>)", "plans/my tea.md"),
        ("[my tea](plans/my%20tea%20%C3%BC.md)", "plans/my tea ü.md"),
        ("[tea](100%.md)", "100%.md"),
        ("[tea](%ff.md)", "%ff.md"),
        ("plans/my%20tea.md", "plans/my%20tea.md"),
        ("notes/", "notes/"),
    ],
)
def test_where_to(argument: str, path: str) -> None:
    assert destination_in(argument) == path


@pytest.mark.parametrize("argument", ["@notes.md", "``", '""', "   ", "a\x00b"])
def test_what_is_no_path_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="expected a path"):
        destination_in(argument)


def test_a_long_line_takes_no_time() -> None:
    assert len(commands_in("::record-a" + " " * 1_000_000 + "x" + " " * 1_000_000)) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_behind_very_much_text_a_command_is_told_and_not_obeyed(end: str) -> None:
    pasted = f"a log line{end}" * (LONGEST // 10)
    [mistake] = commands_in(f"look{end}{pasted}::record-notes x{end}::stop")
    assert isinstance(mistake, Mistake)
    assert (mistake.line, mistake.raw) == (LONGEST // 10 + 2, "::record-notes x")
    [first] = commands_in(f"::record-notes{end}{pasted}Thing::record{end}  ::recorder")
    assert isinstance(first, Command)
    # Half a command may be another one.
    for before, kind in (*((one, Mistake) for one in range(1, 12)), (20, Command)):
        [found] = commands_in("x" * (LONGEST - before) + f"{end}::stop-notes")
        assert isinstance(found, kind)


def test_behind_very_deep_lists_and_many_blank_lines_a_command_is_found() -> None:
    [found] = commands_in("- " * 64 + "a" + "\n" * 400_000 + "::stop-notes")
    assert (found.line, found.raw) == (400_001, "::stop-notes")
    # In the fence that is open in the list nobody types.
    assert commands_in("- ```\n\n\n\n  ::stop-notes\n\n\n  ::stop-notes") == ()
