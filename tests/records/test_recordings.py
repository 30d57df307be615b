"""Recordings from the command in a chat to the bytes in a file: as was asked, and each piece once."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from recordings import BEGAN, HOST, MODEL, OTHER, SESSION, Chat, Crash, Crashes, Desk, dies_at, dies_by
from stacks import TENANT

from minoots.contracts import EventType, WebhookAction
from minoots_activities.capture import obeying, placing, turn, workspaces, writing
from minoots_activities.capture import piece as piece_module
from minoots_activities.capture.workspaces import FILE
from minoots_platform.records import Database, conversations, documents, recordings, schema
from minoots_platform.writers import Look, Rendered, installed

IMAGE = b"\x89PNG no image, but bytes"
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(IMAGE).decode()},
}


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace()
    return desk


@pytest.fixture
def chat(desk: Desk) -> Chat:
    return desk.chat()


def said(desk: Desk, name: str) -> list[str]:
    """The lines of a recording that somebody said: no front matter, headings or blank lines."""
    return [line for line in desk.body(name).split("\n") if line and not line.startswith("# ")]


async def test_a_recording_begins_at_the_line_of_its_command(desk: Desk, chat: Chat) -> None:
    chat.says("before")
    await chat.tell("above\n::record-notes tea.md\nbelow")
    chat.answers("answer")
    await chat.tell("more")
    assert said(desk, "tea.md") == ["::record-notes tea.md", "below", "answer", "more"]
    assert desk.body("tea.md").startswith("\n# user_2026-07-01_1000_02\n")
    assert desk.names() == {"tea.md"}


async def test_of_many_long_messages_each_is_obeyed(desk: Desk, chat: Chat) -> None:
    # More than are looked through in one transaction.
    said = [f"{'a' * 300_000}\n::export-notes {name}.md" for name in ("one", "two", "three")]
    done = await chat.tell(*said, "::export-notes four.md")
    assert done.obeyed == 4
    assert {"one.md", "two.md", "three.md", "four.md"} <= desk.names()


async def test_a_capture_begins_with_the_conversation_and_goes_on(desk: Desk, chat: Chat) -> None:
    chat.says("first")
    chat.answers("answer")
    await chat.tell("::capture-notes tea.md")
    await chat.tell("more")
    assert said(desk, "tea.md") == ["first", "answer", "::capture-notes tea.md", "more"]
    assert await desk.states() == [("tea.md", "active")]


async def test_an_export_is_written_once_and_leaves_what_is_recorded_alone(desk: Desk, chat: Chat) -> None:
    await chat.tell("first", "::record-notes tea.md")
    [before] = await desk.rows("tea.md")
    await chat.tell("above\n::export-notes copy.md\nbelow")
    await chat.tell("more")
    assert said(desk, "copy.md") == ["first", "::record-notes tea.md", "above"]
    assert await desk.states() == [("tea.md", "active"), ("copy.md", "stopped")]
    [after] = await desk.rows("tea.md")
    assert (after.id, after.until_number, after.stopped_at) == (before.id, None, None)
    assert said(desk, "tea.md")[-2:] == ["below", "more"]


async def test_stopping_an_alias_leaves_the_others_and_stopping_stops_all(desk: Desk, chat: Chat) -> None:
    for alias in ("plans", "ideas"):
        desk.workspace(alias)
    await chat.tell("::record-notes a.md\n::record-plans b.md\n::record-ideas c.md")
    await chat.tell("one\n::stop-plans\ntwo")
    assert await desk.states() == [("a.md", "active"), ("b.md", "stopped"), ("c.md", "active")]
    await chat.tell("three\n::STOP\nfour")
    assert {state for _, state in await desk.states()} == {"stopped"}
    await chat.tell("five")
    assert said(desk, "a.md")[-4:] == ["one", "::stop-plans", "two", "three"]
    plans = (desk.folder / "plans" / "b.md").read_text()
    assert plans.endswith("::record-plans b.md\n::record-ideas c.md\n\none\n\n")
    assert len(await desk.told(EventType.RECORDING_STARTED)) == 3
    assert len(await desk.told(EventType.RECORDING_STOPPED)) == 3


@pytest.mark.parametrize("again", ["::record-notes tea.md", "::record-notes", "::record-notes ./tea.md"])
async def test_recording_again_into_the_same_file_changes_nothing(desk: Desk, chat: Chat, again: str) -> None:
    await chat.tell("::record-notes tea.md")
    before = await desk.rows()
    done = await chat.tell(again)
    assert (done.obeyed, done.refused) == (1, 0)
    assert [row.id for row in await desk.rows()] == [row.id for row in before]
    assert await desk.states() == [("tea.md", "active")]


async def test_recording_into_another_file_ends_the_first_there(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes a.md")
    await chat.tell("last of a\n::record-notes b.md\nfirst of b")
    await chat.tell("more")
    assert await desk.states() == [("a.md", "stopped"), ("b.md", "active")]
    assert said(desk, "a.md") == ["::record-notes a.md", "last of a"]
    assert said(desk, "b.md") == ["::record-notes b.md", "first of b", "more"]


async def test_commands_of_one_message_are_obeyed_from_the_top_and_an_early_one_stays(
    desk: Desk, chat: Chat
) -> None:
    done = await chat.tell("::record-notes a.md\nx\n::record-nowhere b.md\ny\n::export-notes c.md")
    assert (done.obeyed, done.refused) == (2, 1)
    assert await desk.states() == [("a.md", "active"), ("c.md", "stopped")]
    assert "y" in said(desk, "c.md")
    done = await chat.tell("::record-notes d.md\n::record-notes e.md\n::stop\n::stop")
    assert (done.obeyed, done.refused) == (3, 1)
    assert await desk.states() == [(f"{name}.md", "stopped") for name in "acde"]
    assert said(desk, "d.md")[0] == "::record-notes d.md"
    assert said(desk, "e.md")[0] == "::record-notes e.md"
    assert "::record" not in desk.body("d.md").replace("::record-notes d.md", "")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("::record-nots a.md", "there is no workspace nots; the nearest is notes"),
        ("::record-broken a.md", "cannot be read"),
        ("::record-gone a.md", "is missing"),
        ("::record-notes @a.md", "type the path without the @"),
        ("::record-notes /etc/a.md", "not below a folder that is open for writing"),
        ("::record-notes ../a.md", "`..` leads out of a folder"),
        ("::record-notes sub/../../a.md", "`..` leads out of a folder"),
        ("::record-notes ~/a.md", "not below a folder that is open for writing"),
        ("::record-notes dangling.md", "not below a folder that is open for writing"),
        ("::record-notes out/a.md", "not below a folder that is open for writing"),
        ("::record-notes out", "not below a folder that is open for writing"),
        ("::record-notes ``", "expected a path"),
        ("::record-notes https://tea.example/a.md", "type a path of this machine"),
        ("::record-notes ~nobody-of-this-name/a.md", "is nobody's home folder"),
        pytest.param(f"::record-notes {'x' * 253}.md/a.md", "longer than 255 bytes"),
        ("::capture-notes theirs.md", "is there already; give another name"),
        ("::export-notes theirs.md", "is there already; give another name"),
        ("::recrod-notes", "is no command"),
        ("::init", "is no command any more"),
        ("::record", "needs a workspace"),
        ("::stop-plans", "nothing is recorded into plans"),
        ("::stop now", "takes nothing behind it"),
    ],
)
async def test_what_cannot_be_obeyed_is_refused_told_and_shown(
    desk: Desk, chat: Chat, command: str, why: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (desk.root / "dangling.md").symlink_to(outside / "nothing.md")
    (desk.root / "out").symlink_to(outside)
    (desk.root / "theirs.md").write_text("theirs\n")
    (desk.workspace("broken") / FILE).write_text("id = ")
    (desk.workspace("gone") / FILE).unlink()
    await chat.tell("::record-notes tea.md")
    before = await desk.rows()
    done = await chat.tell(f"please\n{command}\nthanks")
    assert (done.obeyed, done.refused) == (0, 1)
    assert [row.id for row in await desk.rows()] == [row.id for row in before]
    assert await desk.states() == [("tea.md", "active")]
    [told] = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert (told["command"], told["line"]) == (command[:200], 2)
    assert why in told["reason"]
    *_, shown = said(desk, "tea.md")
    assert shown.startswith("> **Minoots:** ")
    assert shown.replace("\\", "").count(why.split("`")[-1].strip()) == 1
    assert list(outside.iterdir()) == []
    assert (desk.root / "theirs.md").read_text() == "theirs\n"


async def test_those_who_want_to_know_are_told_once_of_what_is_refused(desk: Desk, chat: Chat) -> None:
    contact = WebhookAction(url="http://127.0.0.1:9/ada").model_dump(mode="json")
    ada = {"name": "Ada", "contacts": [contact]}
    async with desk.database.write() as connection:
        await documents.save(connection, TENANT, "person", "ada", ada, now=desk.now, actor="test")
    await chat.tell("::record-nowhere\n::recrod-notes", "::record-notes tea.md")
    await chat.look()
    async with desk.database.read() as connection:
        [timer] = (await connection.execute(sa.select(schema.timers))).all()
    assert (timer.name, timer.state) == ("a command in a chat was refused", "scheduled")
    assert [action["url"] for action in timer.actions] == ["http://127.0.0.1:9/ada"]
    assert timer.payload["conversation"] == chat.id
    assert [one["command"] for one in timer.payload["refused"]] == ["::record-nowhere", "::recrod-notes"]


async def test_what_is_refused_after_a_stop_is_in_the_recording_that_began(desk: Desk, chat: Chat) -> None:
    await chat.tell("x\n::record-notes tea.md\n::record-nowhere")
    assert said(desk, "tea.md")[:2] == ["::record-notes tea.md", "::record-nowhere"]
    assert said(desk, "tea.md")[2].startswith("> **Minoots:** ")


@pytest.mark.parametrize("name", [f"{'x' * 300}.md", "x/" * 3000 + "a.md", "~nobody-of-this-name/a.md"])
async def test_a_path_that_cannot_be_is_refused(desk: Desk, chat: Chat, name: str) -> None:
    done = await chat.tell(f"::record-notes {name}")
    assert (done.obeyed, done.refused) == (0, 1)


async def test_without_any_workspace_nothing_is_written(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path)
    done = await desk.chat().tell("::record-notes a.md")
    assert (done.obeyed, done.refused) == (0, 1)
    [told] = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert "there is no workspace notes; registered are: none" in told["reason"]


def in_a_fence(chat: Chat) -> None:
    chat.says("look:\n```\n::record-notes a.md\n```\n~~~~ sh\n::record-notes b.md\n~~~\n::record-notes c.md")


def inside_of_a_line(chat: Chat) -> None:
    chat.says("type ::record-notes a.md\nor `::record-notes b.md`\n> ::record-notes c.md\n- ::record-notes")


def in_the_result_of_a_tool(chat: Chat) -> None:
    for content in ("::record-notes a.md", [{"type": "text", "text": "::record-notes a.md"}]):
        chat.hears({"type": "tool_result", "tool_use_id": f"c{chat.desk.number}", "content": content})


def in_an_answer(chat: Chat) -> None:
    chat.answers("::record-notes a.md")


def in_what_the_program_put_in(chat: Chat) -> None:
    chat.says("::record-notes a.md", isMeta=True)
    chat.says("::record-notes b.md", isCompactSummary=True)
    chat.says("hello\n<system-reminder>\n::record-notes c.md\n</system-reminder>")
    chat.says("<command-name>/x</command-name>\n::record-notes d.md")
    chat.append({"type": "system", "subtype": "x", "content": "::record-notes e.md"})


@pytest.mark.parametrize(
    "somewhere",
    [in_a_fence, inside_of_a_line, in_the_result_of_a_tool, in_an_answer, in_what_the_program_put_in],
)
async def test_only_what_a_user_typed_as_a_command_is_obeyed(
    desk: Desk, chat: Chat, somewhere: Callable[[Chat], None]
) -> None:
    chat.says("hello")
    somewhere(chat)
    done = await chat.look()
    assert (done.obeyed, done.refused) == (0, 0)
    assert await desk.rows() == []


@pytest.mark.parametrize("fresh", [True, False])
async def test_history_is_never_obeyed(desk: Desk, chat: Chat, fresh: bool) -> None:
    chat.says("::record-notes a.md")
    chat.says("::record-nowhere")
    desk.now = BEGAN + timedelta(minutes=2)
    for _ in range(3):
        assert (await chat.look(fresh=fresh)).obeyed == 0
    desk.number = 125
    chat.says("::record-notes b.md")
    for expected in (1, 0):
        assert (await chat.look(fresh=fresh)).obeyed == expected
    await desk.write()
    assert await desk.states() == [("b.md", "active")]
    assert said(desk, "b.md") == ["::record-notes b.md"]
    assert await desk.told(EventType.CHAT_COMMAND_REFUSED) == []


async def test_what_was_typed_up_to_a_minute_before_the_first_look_is_obeyed(desk: Desk, chat: Chat) -> None:
    chat.says("::record-notes a.md")  # a second after BEGAN
    chat.says("::record-notes b.md")
    desk.now = BEGAN + timedelta(minutes=1, seconds=1)  # and the look is a second later
    assert (await chat.look(fresh=False)).obeyed == 1
    assert await desk.states() == [("b.md", "active")]


@pytest.mark.parametrize(("fresh", "obeyed"), [(True, 1), (False, 0)])
async def test_without_a_time_only_what_was_watched_from_its_beginning_is_no_history(
    desk: Desk, chat: Chat, fresh: bool, obeyed: int
) -> None:
    chat.says("::record-notes a.md", timestamp=None)
    assert (await chat.look(fresh=fresh)).obeyed == obeyed
    chat.says("::record-notes b.md", timestamp=None)
    assert (await chat.look(fresh=fresh)).obeyed == 1


async def test_history_without_a_time_is_not_obeyed_however_long_it_is(desk: Desk, chat: Chat) -> None:
    for number in range(500):
        chat.says(f"hello {number}", timestamp=None)
    chat.says("::record-notes a.md", timestamp=None)
    assert (await chat.look(fresh=False)).obeyed == 0


async def test_a_command_is_obeyed_once_however_often_it_is_looked_at(desk: Desk, chat: Chat) -> None:
    chat.says("::export-notes a.md\n::record-nowhere")
    assert [(await chat.look()).obeyed for _ in range(3)] == [1, 0, 0]
    await desk.write()
    copy = chat.path.with_name(f"{OTHER}.jsonl")
    copy.write_bytes(chat.path.read_bytes())
    chat.path.write_bytes(chat.path.read_bytes()[:-5])
    assert (await chat.look()).obeyed == 0
    fork = desk.chat(OTHER)
    assert (await fork.look()).obeyed == 0
    assert await desk.states() == [("a.md", "stopped")]
    assert len(await desk.told(EventType.CHAT_COMMAND_REFUSED)) == 1


async def test_a_look_that_fails_has_obeyed_nothing(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.says("::record-notes a.md\n::record-nowhere")
    with monkeypatch.context() as patch:
        crashes = Crashes(desk.database, patch)
        # Each reading of a transcript commits once; then comes what is obeyed.
        crashes.dies = dies_at(3)
        with pytest.raises(Crash):
            await chat.look()
    assert await desk.rows() == []
    assert await desk.told(EventType.CHAT_COMMAND_REFUSED) == []
    assert (await chat.look()).obeyed == 1
    assert len(await desk.told(EventType.CHAT_COMMAND_REFUSED)) == 1


@pytest.mark.parametrize(
    "somewhere",
    [
        True,
        pytest.param(False),
    ],
)
async def test_a_registry_that_cannot_be_read_costs_no_command(
    desk: Desk, chat: Chat, somewhere: bool
) -> None:
    if not somewhere:
        chat.cwd = ""
    chat.says("::record-notes a.md")
    registry = desk.folder / "registry.json"
    sound = registry.read_text()
    registry.write_text("{")
    for _ in range(2):
        done = await chat.look()
        assert (done.obeyed, done.refused) == (0, 0)
        assert "cannot be read" in str(done.problem)
        assert desk.obeying.waiting() == {chat.id}
    assert "cannot be read" in desk.registry.problems()[0]
    told = await desk.told(EventType.CONVERSATION_TROUBLED)
    assert ["a command waits: the registry" in one["reason"] for one in told] == [True]
    registry.write_text(sound)
    assert desk.obeying.waiting() == frozenset()
    assert (await chat.look()).obeyed == 1
    assert desk.registry.problems() == []


async def test_a_first_command_without_a_time_that_has_waited_is_obeyed(desk: Desk, chat: Chat) -> None:
    chat.says("::record-notes a.md", timestamp=None)
    registry = desk.folder / "registry.json"
    sound = registry.read_text()
    registry.write_text("{")
    assert (await chat.look(fresh=True)).obeyed == 0
    registry.write_text(sound)
    # Told again, it is a file that was known before.
    assert (await chat.look(fresh=False)).obeyed == 1


async def test_a_registry_that_cannot_be_read_holds_up_nothing_that_is_recorded(
    desk: Desk, chat: Chat
) -> None:
    await chat.tell("::record-notes a.md")
    registry = desk.folder / "registry.json"
    sound = registry.read_text()
    registry.write_text("{")
    chat.answers("while it is damaged")
    await chat.tell("go on")
    assert "go on" in (desk.root / "a.md").read_text()
    await chat.tell("::export-notes b.md", "::stop", "behind the end")
    assert desk.names() == {"a.md"}
    registry.write_text(sound)
    await chat.tell("never recorded")
    assert desk.names() == {"a.md", "b.md"}
    assert "behind the end" not in (desk.root / "a.md").read_text()


async def test_a_workspace_that_cannot_be_read_now_holds_up_its_own_commands_only(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, other = desk.workspace("closed"), desk.chat(OTHER)
    text_of = workspaces._text_of

    def denied(file: Path) -> str:
        if file.parent == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return text_of(file)

    with monkeypatch.context() as broken:
        broken.setattr(workspaces, "_text_of", denied)
        await chat.tell("::export-notes first.md\n::record-closed a.md")
        await other.tell("::record-notes b.md")
        assert desk.names() == {"b.md"}
        assert desk.obeying.waiting() == {chat.id}
        [problem] = desk.registry.problems()
        assert problem.startswith("nothing is recorded for closed: ")
        assert await desk.told(EventType.CHAT_COMMAND_REFUSED) == []
    done = await chat.look()
    await desk.write()
    assert (done.obeyed, done.refused) == (2, 0)
    assert desk.names() == {"b.md", "first.md"}
    assert (closed / "a.md").exists()


@pytest.mark.parametrize("what", ["registry", "workspace"])
async def test_a_command_that_has_waited_for_a_day_is_refused_for_all_to_see(
    desk: Desk, chat: Chat, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.workspace("other")
    await chat.tell("::record-other b.md")
    text_of = workspaces._text_of

    def denied(file: Path) -> str:
        if file.parent == desk.root:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return text_of(file)

    registry = desk.folder / "registry.json"
    sound = registry.read_text()
    if what == "registry":
        registry.write_text("{")
    else:
        monkeypatch.setattr(workspaces, "_text_of", denied)
    chat.says("::record-notes a.md")
    chat.says("behind it")
    for _ in range(2):
        assert (await chat.look()).refused == 0
        assert desk.obeying.waiting() == {chat.id}
    # Whoever takes over after a death knows since when it waits.
    desk.obeying._waiting.clear()
    desk.number += int(obeying.PATIENCE / timedelta(seconds=1)) // 2
    assert (await chat.look()).refused == 0
    assert desk.obeying.waiting() == {chat.id}
    desk.number += int(obeying.PATIENCE / timedelta(seconds=1)) // 2 + 10
    desk.now = BEGAN + timedelta(seconds=desk.number)
    assert desk.obeying.waiting() == frozenset(), "it is looked for once more"
    done = await chat.look()
    assert (done.refused, done.problem) == (1, None)
    [told] = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert "cannot be read" in told["reason"]
    await desk.write()
    assert "cannot be read" in (tmp := (desk.folder / "other" / "b.md").read_text())
    assert tmp.count("behind it") == 1
    # The next one waits as long again.
    chat.says("::record-notes c.md")
    assert (await chat.look()).refused == 0
    registry.write_text(sound)
    monkeypatch.undo()
    assert (await chat.look()).obeyed == 1
    async with desk.database.read() as connection:
        conversation = await conversations.lock(connection, chat.id)
    assert conversation is not None
    assert (conversation.waits_at, conversation.waits_since) == (None, None)


async def test_each_command_has_a_day_of_its_own(desk: Desk, chat: Chat) -> None:
    registry = desk.folder / "registry.json"
    sound, half = registry.read_text(), int(obeying.PATIENCE / timedelta(seconds=1)) // 2 + 10
    registry.write_text("{")
    chat.says("::record-notes a.md")
    assert (await chat.look()).refused == 0
    desk.number += half
    registry.write_text(sound)
    chat.says("::record-later b.md")
    registry.write_text("{")
    assert (await chat.look()).refused == 0
    async with desk.database.write() as connection:
        conversation = await conversations.lock(connection, chat.id)
        assert conversation is not None
        # The first is done with, as it would be if only the second's workspace were in trouble.
        await conversations.obeyed(connection, chat.id, conversation.waits_at)
    desk.number += half
    assert (await chat.look()).refused == 0, "it has waited for no time yet"
    desk.number += 2 * half
    assert (await chat.look()).refused == 1


async def test_a_conversation_that_is_not_known_has_nothing_to_obey(desk: Desk) -> None:
    done = await desk.obey("cnv_00000000000000000000000000")
    assert (done.pending, done.obeyed, done.refused) == ((), 0, 0)


async def test_two_conversations_do_not_record_into_one_file_at_a_time(desk: Desk, chat: Chat) -> None:
    other = desk.chat(OTHER)
    await chat.tell("::record-notes tea.md")
    (desk.root / "same.md").symlink_to("tea.md")
    for name in ("tea.md", "same.md"):
        done = await other.tell(f"::record-notes {name}")
        assert (done.obeyed, done.refused) == (0, 1)
    told = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert ["is being recorded into by another conversation" in one["reason"] for one in told] == [True] * 2
    await chat.tell("::stop")
    assert (await other.tell("::record-notes tea.md\nother")).obeyed == 1
    assert said(desk, "tea.md") == ["::record-notes tea.md", "::record-notes tea.md", "other"]


async def test_what_another_conversation_records_into_is_not_replaced(desk: Desk, chat: Chat) -> None:
    other = desk.chat(OTHER)
    chat.says("::record-notes tea.md\nmine")
    await chat.look()
    other.says("::export-notes tea.md")
    await other.look()
    await desk.write()
    await chat.tell("more")
    await chat.tell("::stop")
    assert said(desk, "tea.md") == ["::record-notes tea.md", "mine", "more"]


async def test_a_refused_record_leaves_the_recording_that_runs(desk: Desk, chat: Chat) -> None:
    await desk.chat(OTHER).tell("::record-notes theirs.md")
    await chat.tell("::record-notes mine.md")
    assert (await chat.tell("::record-notes theirs.md")).refused == 1
    assert (await desk.rows("mine.md"))[0].state == "active"


async def test_generated_names_do_not_collide(desk: Desk, chat: Chat) -> None:
    name = "2026-07-01_1000-look-at-this-claude"
    (desk.root / f"{name}-3.md").write_text("theirs")
    chat.says("look at this!")
    for _ in range(2):
        await chat.tell("::export-notes\n::export-notes")
    await chat.tell("::record-notes sub/\n::export-notes 'sub/'")
    made = {f"{name}{end}.md" for end in ("", "-2", "-3", "-4", "-5")} | {
        "sub",
        f"sub/{name}.md",
        f"sub/{name}-2.md",
    }
    assert desk.names() == made
    assert desk.text(f"{name}-3.md") == "theirs"


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("tea", "tea.md"),
        ("plans/tea.txt", "plans/tea.txt.md"),
        ("`plans/green tea.md`", "plans/green tea.md"),
        ("[tea](plans/tea.md)", "plans/tea.md"),
        ("plans.v2/ü🦉.md", "plans.v2/ü🦉.md"),
        ("<plans/green tea.md>", "plans/green tea.md"),
        ("plans/green\\ tea.md", "plans/green tea.md"),
    ],
)
async def test_a_path_is_meant_below_the_workspace(desk: Desk, chat: Chat, argument: str, name: str) -> None:
    await chat.tell(f"::record-notes {argument}")
    assert desk.text(name).count("::record-notes") == 1
    assert (desk.root / name).stat().st_mode & 0o777 == 0o644


class TestByItself:
    """Workspaces that want every conversation held in them."""

    @pytest.fixture
    def desk(self, database: Database, tmp_path: Path) -> Desk:
        desk = Desk(database, tmp_path)
        desk.workspace(settings="auto_record = true")
        return desk

    @pytest.mark.parametrize(("folder", "recorded"), [("notes/sub", 1), ("notes", 1), ("notes2", 0)])
    async def test_conversations_held_below_the_root_are_recorded(
        self, desk: Desk, chat: Chat, folder: str, recorded: int
    ) -> None:
        chat.cwd = str(desk.folder / folder)
        chat.says("hello there")
        chat.answers("answer")
        await chat.tell("more")
        names = [path.name for path in desk.root.glob("*.md")]
        assert names == ["2026-07-01_1000-hello-there-claude.md"][:recorded]
        for name in names:
            assert said(desk, name) == ["hello there", "answer", "more"]

    async def test_folders_may_be_named(self, desk: Desk, chat: Chat) -> None:
        code = desk.folder / "code"
        desk.workspace(settings=f'auto_record = true\nauto_record_roots = ["{code}"]')
        await chat.tell("elsewhere")
        assert await desk.rows() == []
        chat.cwd = str(code / "deep")
        await chat.tell("here")
        [row] = await desk.rows()
        assert said(desk, Path(row.path).name) == ["here"]

    async def test_what_was_stopped_is_not_begun_again(self, desk: Desk, chat: Chat) -> None:
        chat.cwd = str(desk.root)
        await chat.tell("hello")
        await chat.tell("::stop")
        await chat.tell("more")
        assert [state for _, state in await desk.states()] == ["stopped"]

    @pytest.mark.parametrize("asked", [False, True])
    async def test_sub_agents_are_recorded_where_that_is_asked_for(self, desk: Desk, asked: bool) -> None:
        if asked:
            desk.workspace(settings="auto_record = true\nauto_record_subagents = true")
        agent = Chat(desk, desk.folder / "chats" / SESSION / "subagents" / "agent-abc.jsonl")
        agent.cwd = str(desk.root)
        await agent.tell("hello")
        assert len(await desk.rows()) == asked

    async def test_history_is_not_recorded(self, desk: Desk, chat: Chat) -> None:
        chat.cwd = str(desk.root)
        chat.says("old")
        desk.now = BEGAN + timedelta(minutes=2)
        await chat.look()
        assert await desk.rows() == []
        desk.number = 130
        await chat.tell("new")
        [row] = await desk.rows()
        assert said(desk, Path(row.path).name) == ["new"]

    async def test_who_records_by_command_is_not_recorded_twice(self, desk: Desk, chat: Chat) -> None:
        chat.cwd = str(desk.root)
        await chat.tell("::record-notes tea.md")
        assert await desk.states() == [("tea.md", "active")]

    async def test_an_export_does_not_keep_a_conversation_from_being_recorded(
        self, desk: Desk, chat: Chat
    ) -> None:
        chat.cwd = str(desk.root)
        await chat.tell("hello\n::export-notes tea.md")
        await chat.tell("more")
        assert [row.state for row in await desk.rows() if row.kind == "record"] == ["active"]

    async def test_a_stop_counts_also_when_it_comes_in_the_first_look(self, desk: Desk, chat: Chat) -> None:
        chat.cwd = str(desk.root)
        done = await chat.tell("hello", "::stop", "more")
        assert done.refused == 0
        [row] = await desk.rows()
        assert said(desk, Path(row.path).name) == ["hello"]

    async def test_two_workspaces_may_want_the_same_conversation(self, desk: Desk, chat: Chat) -> None:
        inner = desk.root / "inner"
        desk.workspace("inner", "auto_record = true", inner)
        chat.cwd = str(inner)
        await chat.tell("hello")
        assert sorted(row.alias for row in await desk.rows()) == ["inner", "notes"]
        assert await desk.told(EventType.CHAT_COMMAND_REFUSED) == []

    async def test_a_command_in_the_first_line_does_not_stand_in_the_way(
        self, desk: Desk, chat: Chat
    ) -> None:
        desk.workspace("plans")
        chat.cwd = str(desk.root)
        await chat.tell("::record-plans tea.md")
        assert sorted(str(row.alias) for row in await desk.rows()) == ["notes", "plans"]

    async def test_a_name_is_that_of_what_was_typed_first(self, desk: Desk, chat: Chat) -> None:
        chat.cwd = str(desk.root)
        chat.says("Caveat: the messages below were generated", isMeta=True)
        await chat.tell("plan the garden")
        assert await desk.states() == [("2026-07-01_1000-plan-the-garden-claude.md", "active")]

    async def test_what_cannot_be_recorded_is_told_once(
        self, desk: Desk, chat: Chat, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        (desk.root / "out").symlink_to(tmp_path_factory.mktemp("outside"))
        with (desk.root / FILE).open("a") as file:
            file.write('output = "out"\n')
        chat.cwd = str(desk.root)
        for text in ("one", "two", "three"):
            await chat.tell(text)
        [told] = await desk.told(EventType.CHAT_COMMAND_REFUSED)
        assert told["command"] == "auto_record of notes"


async def rendered_at_once(desk: Desk, row: sa.Row[Any]) -> str:
    """What a file looks like into which all events of a recording are written at once."""
    async with desk.database.read() as connection:
        found = await conversations.numbered(
            connection, TENANT, row.conversation_id, after=row.from_number - 1, limit=10_000
        )
    writer, look = installed()[row.format], Look.model_validate(row.options)
    rendered, state = Rendered(), dict[str, Any]()
    for number, event in found:
        if row.until_number is not None and number > row.until_number:
            break
        lines = (event.text or "").split("\n")
        begin = row.from_line - 1 if number == row.from_number and row.from_line else 0
        end = row.until_line - 1 if number == row.until_number and row.until_line else len(lines)
        text = "\n".join(lines[begin:end])
        if text.strip() or not (event.text or "").strip():
            event = event.model_copy(update={"text": text if event.text is not None else None})
            writer.render(event, look, state, rendered)
    return writer.head(look, rendered) + rendered.text


STORY: tuple[Callable[[Chat], None], ...] = (
    lambda chat: chat.says("hello ü🦉"),
    lambda chat: chat.answers("answer\n```\nopen", {"type": "thinking", "thinking": "hm <details>"}),
    lambda chat: chat.hears({"type": "tool_result", "tool_use_id": "c1", "content": "x" * 5000}, PICTURE),
    lambda chat: chat.answers(
        "calls", {"type": "tool_use", "id": f"c{chat.desk.number}", "name": "ls", "input": {"a": [1]}}
    ),
    lambda chat: chat.answers("another", model="claude-y-3-1"),
    lambda chat: chat.hears(
        {"type": "tool_result", "tool_use_id": f"c{chat.desk.number - 1}", "content": "done"}
    ),
    lambda chat: chat.says("::record-nowhere"),
    lambda chat: chat.says("a line\nand one more\n\n\n"),
    lambda chat: chat.answers("end <!-- open"),
)
EVERYTHING = "participant_username = true\nevent_kinds = true"
FLAGS = "[flags]\nwriterIncludeToolCalls = true\nwriterIncludeToolResults = true"


@pytest.mark.parametrize("ending", [".md", ".jsonl"])
@pytest.mark.parametrize("verb", ["record", "capture"])
async def test_a_file_is_as_if_written_at_once_whatever_the_pieces(
    desk: Desk, verb: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.workspace(settings=f"[front_matter]\nparticipant_username = true\n{FLAGS}")
    chance = random.Random(7)
    for run in range(6):
        monkeypatch.setattr(piece_module, "PART", chance.randrange(1, 6))
        chat = desk.chat(f"{run}1110000-0000-4000-8000-000000000001")
        chat.says("before")
        chat.says(f"above\n::{verb}-notes run{run}{ending}\nbelow")
        for step in (*STORY, *STORY):
            step(chat)
            if chance.random() < 0.4:
                await chat.look()
                if chance.random() < 0.7:
                    await desk.write()
        await chat.tell("last\n::stop\nnot this")
        [row] = await desk.rows(f"run{run}{ending}")
        assert row.state == "stopped"
        assert desk.text(f"run{run}{ending}") == await rendered_at_once(desk, row)


async def test_the_front_matter_does_not_tell_in_which_pieces_a_file_was_written(desk: Desk) -> None:
    for number, pieces in enumerate((1, 2)):
        chat = desk.chat(f"{number}1110000-0000-4000-8000-000000000001")
        chat.says(f"::record-notes run{number}.md")
        if pieces == 2:
            await chat.tell()
        chat.answers("answer")
        await chat.tell()
        [row] = await desk.rows(f"run{number}.md")
        assert desk.text(f"run{number}.md") == await rendered_at_once(desk, row)


async def test_the_front_matter_of_a_long_file_grows_and_the_file_is_read_for_nothing_else(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_module, "_HEAD", 1500)
    await chat.tell("::record-notes tea.md")
    chat.answers("water " * 1000)
    await chat.tell()
    wholes: list[str] = []
    content = placing.content

    def counted(folder: int, name: str, begin: int = 0, length: int | None = None) -> bytes:
        if begin == 0 and length is None:
            wholes.append(name)
        return content(folder, name, begin, length)

    monkeypatch.setattr(placing, "content", counted)
    chat.answers("and more of it")
    await chat.tell("thanks")
    assert wholes == []
    chat.answers("of another", model="other-model")
    await chat.tell()
    assert wholes == ["tea.md"]
    [row] = await desk.rows("tea.md")
    assert desk.text("tea.md") == await rendered_at_once(desk, row)
    assert "other-model" in desk.text("tea.md").split("---")[1]


async def test_a_very_long_text_is_written_whole(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md")
    chat.answers("- tea\n" * 60_000 + "```\nopen")
    await chat.tell("thanks")
    [row] = await desk.rows("tea.md")
    text = desk.text("tea.md")
    assert text == await rendered_at_once(desk, row)
    assert text.count("- tea\n") == 60_000
    assert text.endswith("thanks\n\n")


async def test_writing_again_changes_nothing(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md")
    chat.answers("answer")
    await chat.tell("more")
    before = (desk.root / "tea.md").stat(), await desk.rows()
    for _ in range(2):
        done = await desk.again("tea.md")
        assert (done.over, done.again_at, done.problem) == (False, None, None)
    assert ((desk.root / "tea.md").stat(), await desk.rows()) == before
    assert await desk.write() == {}
    await chat.tell("::stop")
    assert (await desk.again("tea.md")).over
    assert (await desk.again("never.md")).over


async def test_a_jsonl_recording_has_an_event_a_line(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.jsonl")
    chat.answers("answer")
    await chat.tell("more\n::record-nowhere")
    told = [json.loads(line) for line in desk.text("tea.jsonl").splitlines()]
    assert [one["text"] for one in told] == ["::record-notes tea.jsonl", "answer", "more\n::record-nowhere"]
    assert told[1]["model"] == MODEL
    assert len(told[2]["details"]["refused"]) == 1


async def test_images_and_long_outputs_go_beside(desk: Desk, chat: Chat) -> None:
    desk.workspace(settings=FLAGS)
    long = "line ü\n" * 1000
    chat.says("::record-notes plans/green tea.md")
    chat.hears({"type": "text", "text": "see"}, PICTURE)
    chat.hears({"type": "text", "text": "again"}, PICTURE)
    chat.hears({"type": "tool_result", "tool_use_id": "c1", "content": long})
    await chat.tell()
    folder = desk.root / "plans" / "green tea.files"
    image, output = sorted(folder.iterdir(), key=lambda path: path.suffix)
    assert (image.suffix, image.read_bytes()) == (".png", IMAGE)
    assert (output.suffix, output.read_text().strip()) == (".txt", long.strip())
    body = desk.body("plans/green tea.md")
    assert body.count(f"![image/png](<green tea.files/{image.name}>)") == 2
    assert f"[all of it](<green tea.files/{output.name}>)" in body
    assert len(body) < 5000


# Crashes: the process dies at every moment, one after the other, and the file ends as without.

OLD = "---\ntitle: mine\nparticipants:\n  - me\n---\n\nold text without an end"


async def scene_new(desk: Desk, chat: Chat) -> str:
    chat.says("before")
    chat.says("above\n::record-notes tea.md\nbelow")
    return "tea.md"


async def scene_theirs(desk: Desk, chat: Chat) -> str:
    (desk.root / "tea.md").write_text(OLD)
    chat.says("::record-notes tea.md")
    return "tea.md"


async def scene_json(desk: Desk, chat: Chat) -> str:
    chat.says("::capture-notes tea.jsonl")
    return "tea.jsonl"


async def scene_again(desk: Desk, chat: Chat) -> str:
    await chat.tell("::record-notes tea.md\none\n::stop")
    chat.says("::record-notes tea.md\ntwo")
    chat.says("::stop")
    chat.says("::capture-notes tea.md\nthree")
    return "tea.md"


SCENES = [scene_new, scene_theirs, scene_json, scene_again]


class Stage:
    """A file and its recordings as they were, to begin from again."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name

    async def keep(self) -> None:
        self._rows = [dict(row._mapping) for row in await self._desk.rows()]
        path = self._desk.root / self._name
        self._content = path.read_bytes() if path.exists() else None
        self._about = path.stat() if path.exists() else None

    async def set(self) -> None:
        for path in sorted(self._desk.root.rglob("*"), reverse=True):
            if path.name != FILE:
                path.rmdir() if path.is_dir() else path.unlink()
        if self._content is not None and self._about is not None:
            path = self._desk.root / self._name
            path.write_bytes(self._content)
            os.utime(path, ns=(self._about.st_atime_ns, self._about.st_mtime_ns))
        async with self._desk.database.write() as connection:
            for row in self._rows:
                await recordings.change(connection, row["id"], **{k: v for k, v in row.items() if k != "id"})

    def found(self) -> dict[str, bytes]:
        return {
            name: path.read_bytes()
            for name in self._desk.names()
            if (path := self._desk.root / name).is_file()
        }


@pytest.mark.parametrize("scene", SCENES)
async def test_whoever_dies_at_any_moment_leaves_a_file_that_ends_the_same(
    desk: Desk, chat: Chat, scene: Callable[[Desk, Chat], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_module, "PART", 3)
    desk.workspace(settings=f"[front_matter]\n{EVERYTHING}\n{FLAGS}")
    name = await scene(desk, chat)
    for step in STORY:
        step(chat)
    chat.says("last\n::stop\nnot this")
    await chat.look()
    stage = Stage(desk, name)
    await stage.keep()
    crashes = Crashes(desk.database, monkeypatch)
    await desk.again(name)
    expected, stopped = stage.found(), await desk.told(EventType.RECORDING_STOPPED)
    assert len(expected) >= 1
    moments, crashes.moments = crashes.moments, 0
    assert moments > 20
    for dying in range(1, moments + 1):
        crashes.dies = dies_at(0)
        await stage.set()
        crashes.moments = 0
        crashes.dies = dies_at(dying)
        with pytest.raises(Crash):
            await desk.again(name)
        assert (await desk.again(name)).over, dying
        assert stage.found() == expected, f"died at moment {dying} of {moments}"
    # Once more and more often: also what mends is interrupted.
    for seed in range(10):
        chance = random.Random(seed)
        crashes.dies = dies_at(0)
        await stage.set()
        crashes.dies = dies_by(chance)
        over = False
        while not over:
            try:
                over = (await desk.again(name)).over
            except Crash:
                continue
        assert stage.found() == expected, seed
    assert all(row.intent is None for row in await desk.rows())
    assert len(stopped) > 0


async def test_text_that_somebody_appends_stays_and_nothing_is_repeated(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md\none")
    path = desk.root / "tea.md"
    for number, by_hand in enumerate(("by hand", "by hand\n", "", "\n\n\nby hand\n\n")):
        with path.open("a") as file:
            file.write(by_hand)
        before = path.read_text()
        await chat.tell(f"two {number}")
        assert desk.text("tea.md").startswith(before)
        assert desk.text("tea.md")[len(before) :].strip() == f"two {number}"
        assert f"\n\ntwo {number}\n\n" in desk.text("tea.md")


async def test_text_that_somebody_appends_between_death_and_life_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = set()
    # The moments of one append: two of the commit before it, five of its own, two of the commit behind it.
    for dying in range(1, 10):
        chat = desk.chat(f"{dying}1110000-0000-4000-8000-000000000001")
        name = f"tea{dying}.md"
        await chat.tell(f"::record-notes {name}\none")
        before = desk.text(name)
        chat.says("TWO!")
        await chat.look()
        with monkeypatch.context() as patch:
            crashes = Crashes(desk.database, patch)
            crashes.dies = dies_at(dying)
            with pytest.raises(Crash):
                await desk.again(name)
        torn = desk.text(name)
        with (desk.root / name).open("a") as file:
            file.write("by hand")
        await desk.again(name)
        piece = torn.removeprefix(before)
        pieces.add(piece)
        rest = "" if piece == "TWO!\n\n" else "\n\nTWO!\n\n"
        assert desk.text(name) == f"{torn}by hand{rest}", dying
    assert pieces == {"", "T", "TWO", "TWO!\n", "TWO!\n\n"}


def inserts(path: Path) -> None:
    path.write_text("by hand\n" + path.read_text())


def rewrites(path: Path) -> None:
    path.write_text(path.read_text().replace('desc: ""', "desc: by hand"))


@pytest.mark.parametrize("edits", [inserts, rewrites])
async def test_what_somebody_changes_between_death_and_life_repeats_and_loses_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, edits: Callable[[Path], None]
) -> None:
    for dying in range(1, 12):
        chat = desk.chat(f"{dying:08}-0000-4000-8000-000000000001")
        name = f"tea{dying}.md"
        await chat.tell(f"::record-notes {name}\none", "TWO!")
        chat.says("TWO!")  # once more: the file ends alike before and after
        await chat.look()
        with monkeypatch.context() as patch:
            crashes = Crashes(desk.database, patch)
            crashes.dies = dies_at(dying)
            with suppress(Crash):
                await desk.again(name)
        # What was torn cannot be told from what somebody wrote, once the rest was changed.
        torn = not desk.text(name).endswith("TWO!\n\n")
        edits(desk.root / name)
        await desk.again(name)
        found = desk.text(name)
        assert found.count("by hand") == 1, dying
        assert found.count("TWO!") in ((2, 3) if torn else (2,)), dying
        assert (await desk.rows(name))[0].intent is None


async def test_somebody_who_writes_at_the_same_moment_loses_nothing(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, fsync = placing.append, os.fsync
    await chat.tell("::record-notes tea.md")

    def faster(folder: int, name: str, data: bytes) -> os.stat_result:
        with (desk.root / "tea.md").open("a") as file:
            file.write("by hand\n")
        return append(folder, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(placing, "append", faster)
        chat.says("more")
        await chat.look()
        await desk.again("tea.md")
    [row] = await desk.rows()
    assert row.rendering["own"] is False, "it is never made anew"

    def later(handle: int) -> None:
        fsync(handle)
        path = desk.root / "tea.md"
        if path.exists() and "by another hand" not in path.read_text():
            with path.open("a") as file:
                file.write("by another hand\n")

    # The head grows: the whole file is put in place anew.
    chat.answers("answer")
    await chat.look()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", later)
        done = await desk.again("tea.md")
        assert done.problem == "somebody is writing into it"
    assert done.again_at is not None
    assert (await desk.again("tea.md")).problem is None
    text = desk.text("tea.md")
    for word in ("by hand", "by another hand", "more", "answer"):
        assert text.count(word) == 1, word


async def test_a_file_that_was_removed_is_made_again_whole(desk: Desk, chat: Chat) -> None:
    chat.says("before")
    await chat.tell("::record-notes tea.md\none")
    chat.answers("answer")
    await chat.tell("two")
    whole = desk.text("tea.md")
    (desk.root / "tea.md").unlink()
    await chat.tell("three")
    assert said(desk, "tea.md") == ["::record-notes tea.md", "one", "answer", "two", "three"]
    assert desk.text("tea.md").split("\n---\n")[1].startswith(whole.split("\n---\n")[1])
    await chat.tell("::stop")
    (desk.root / "tea.md").unlink()
    assert (await desk.again("tea.md")).over
    assert desk.names() == set(), "what is over is left to its owner"


async def test_a_folder_that_was_removed_is_made_again(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes a/b/tea.md")
    (desk.root / "a" / "b" / "tea.md").unlink()
    (desk.root / "a" / "b").rmdir()
    await chat.tell("more")
    assert said(desk, "a/b/tea.md") == ["::record-notes a/b/tea.md", "more"]


def asks(text: str) -> dict[str, Any]:
    return {"type": "user", "content": text}


def tells(text: str) -> dict[str, Any]:
    return {"type": "gemini", "content": text, "model": "gemini-x"}


@pytest.mark.parametrize("anew", [False, True])
async def test_a_folder_that_moves_while_it_is_written_into_is_not_followed(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    await chat.tell("::record-notes sub/tea.md")
    before = desk.text("sub/tea.md")
    intend = piece_module.Piece._intend

    async def moving(self: piece_module.Piece, *how: Any) -> None:
        await intend(self, *how)
        (desk.root / "sub").rename(desk.root / "moved")
        if anew:
            (desk.root / "sub").mkdir()

    chat.says("more")
    await chat.look()
    with monkeypatch.context() as moved:
        moved.setattr(piece_module.Piece, "_intend", moving)
        assert (await desk.write())["tea.md"].problem is not None
    assert desk.text("moved/tea.md") == before
    assert (await desk.write())["tea.md"].problem is None
    assert said(desk, "sub/tea.md") == ["::record-notes sub/tea.md", "more"]
    assert desk.text("moved/tea.md") == before
    assert desk.names() == {"moved", "moved/tea.md", "sub", "sub/tea.md"}


async def test_what_is_told_otherwise_makes_the_file_anew(desk: Desk) -> None:
    for text in ("I l", "I look", "I look", "I looked"):
        await desk.gemini(asks("::record-notes tea.md"), tells(text))
        await desk.write()
        assert said(desk, "tea.md") == ["::record-notes tea.md", text]
    await desk.gemini(asks("::record-notes tea.md"), tells("It is so"), asks("and then?"))
    await desk.write()
    assert said(desk, "tea.md") == ["::record-notes tea.md", "It is so", "and then?"]
    [row] = await desk.rows()
    assert desk.text("tea.md") == await rendered_at_once(desk, row)


def tokens(many: int) -> dict[str, object]:
    return tells("It is so") | {"tokens": {"input": 1, "output": many, "total": many + 1}}


async def test_tokens_that_are_counted_on_do_not_make_the_file_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "put", Mock(wraps=placing.put))
    messages = [asks("::record-notes tea.md"), tokens(1)]
    await desk.gemini(*messages)
    await desk.write()
    before, count = (desk.root / "tea.md").stat(), placing.put.call_count  # type: ignore[attr-defined]  # a mock
    [row] = await desk.rows("tea.md")
    messages[1] = tokens(500)
    await desk.gemini(*messages)
    await desk.write()
    [after] = await desk.rows("tea.md")
    assert (desk.root / "tea.md").stat() == before
    assert placing.put.call_count == count  # type: ignore[attr-defined]
    assert after.revised > row.revised
    assert await desk.write() == {}, "that is not looked for again"


async def test_a_file_that_is_made_anew_says_when(desk: Desk) -> None:
    desk.workspace(settings="[front_matter]\nupdated = true")
    await desk.gemini(asks("::record-notes tea.md"), tells("I l"))
    await desk.write()
    assert "updated" not in desk.text("tea.md")
    await desk.gemini(asks("::record-notes tea.md"), tells("I look"))
    await desk.write()
    assert f"\nupdated: {int(desk.now.timestamp() * 1000)}\n---\n" in desk.text("tea.md")
    assert said(desk, "tea.md") == ["::record-notes tea.md", "I look"]


async def test_what_is_told_otherwise_of_before_the_recording_changes_nothing(desk: Desk) -> None:
    await desk.gemini(asks("hello"), tells("I l"), asks("::record-notes tea.md"))
    await desk.write()
    before = (desk.root / "tea.md").stat()
    await desk.gemini(asks("hello"), tells("I look"), asks("::record-notes tea.md"))
    await desk.write()
    assert (desk.root / "tea.md").stat() == before
    assert await desk.write() == {}


def appends(path: Path) -> None:
    path.write_text(path.read_text() + "by hand\n")


def edits(path: Path) -> None:
    path.write_text(path.read_text().replace("I l", "you"))


@pytest.mark.parametrize("touches", [appends, edits])
async def test_what_is_told_otherwise_leaves_a_file_alone_that_somebody_has_touched(
    desk: Desk, touches: Callable[[Path], None]
) -> None:
    await desk.gemini(asks("::record-notes tea.md"), tells("I l"))
    await desk.write()
    touches(desk.root / "tea.md")
    os.utime(desk.root / "tea.md", ns=(1, 1))
    before = desk.text("tea.md")
    await desk.gemini(asks("::record-notes tea.md"), tells("I look"))
    await desk.write()
    assert desk.text("tea.md") == before
    assert await desk.write() == {}, "that is not tried for ever"
    await desk.gemini(asks("::record-notes tea.md"), tells("I look"), asks("more"))
    await desk.write()
    assert desk.text("tea.md").startswith(before)
    assert said(desk, "tea.md")[-1] == "more"


async def test_what_somebody_has_written_stays_also_when_more_was_appended_since(desk: Desk) -> None:
    await desk.gemini(asks("::record-notes tea.md"), tells("I l"))
    await desk.write()
    appends(desk.root / "tea.md")
    await desk.gemini(asks("::record-notes tea.md"), tells("I l"), asks("more"))
    await desk.write()
    await desk.gemini(asks("::record-notes tea.md"), tells("I look"), asks("more"))
    await desk.write()
    assert said(desk, "tea.md") == ["::record-notes tea.md", "I l", "by hand", "more"]


async def test_what_somebody_has_written_after_a_crash_stays_also_when_something_is_told_otherwise(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.gemini(asks("::record-notes tea.md"), tells("I l"))
    with monkeypatch.context() as patch:
        crashes = Crashes(desk.database, patch)
        # The intent commits in two moments, the put has three; then the process dies.
        crashes.dies = dies_at(5)
        with pytest.raises(Crash):
            await desk.again("tea.md")
    assert "I l" in desk.text("tea.md")
    appends(desk.root / "tea.md")
    await desk.write()
    await desk.gemini(asks("::record-notes tea.md"), tells("I look"))
    await desk.write()
    assert "by hand" in said(desk, "tea.md")


async def test_what_is_told_otherwise_after_a_torn_append_is_told_so_in_the_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [asks("::record-notes tea.md"), tells("I l"), asks("more")]
    await desk.gemini(*messages[:2])
    await desk.write()
    await desk.gemini(*messages)
    with monkeypatch.context() as patch:
        crashes = Crashes(desk.database, patch)
        crashes.dies = dies_at(5)
        with pytest.raises(Crash):
            await desk.again("tea.md")
    messages[1] = tells("I look")
    await desk.gemini(*messages)
    await desk.write()
    assert said(desk, "tea.md") == ["::record-notes tea.md", "I look", "more"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets the disk be full, or have space again."""
    append, put = placing.append, placing.put
    state = {"full": False}

    def appending(folder: int, name: str, data: bytes) -> os.stat_result:
        if state["full"]:
            append(folder, name, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(folder, name, data)

    def putting(folder: int, name: str, data: bytes, aside: str, *more: Any) -> os.stat_result:
        if state["full"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(folder, name, data, aside, *more)

    monkeypatch.setattr(placing, "append", appending)
    monkeypatch.setattr(placing, "put", putting)

    def set_full(now: bool) -> None:
        state["full"] = now

    return set_full


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("tries", [1, pytest.param(3)])
async def test_a_disk_that_is_full_is_told_once_and_recovered_from(
    desk: Desk, chat: Chat, full: Callable[[bool], None], begun: bool, tries: int
) -> None:
    chat.says("::record-notes tea.md")
    if begun:
        await chat.tell()
    full(True)
    chat.says("more")
    await chat.look()
    for _ in range(tries):
        done = (await desk.write())["tea.md"]
        assert (done.over, done.problem) == (False, os.strerror(errno.ENOSPC))
        assert done.again_at == desk.clock() + writing.AGAIN
        [row] = await desk.rows()
        assert (row.state, row.problem) == ("active", os.strerror(errno.ENOSPC))
    [told] = await desk.told(EventType.RECORDING_TROUBLED)
    assert told["reason"] == os.strerror(errno.ENOSPC)
    assert await desk.told(EventType.RECORDING_RECOVERED) == []
    full(False)
    done = (await desk.write())["tea.md"]
    assert (done.again_at, done.problem) == (None, None)
    assert len(await desk.told(EventType.RECORDING_RECOVERED)) == 1
    [row] = await desk.rows()
    assert row.problem is None
    assert said(desk, "tea.md") == ["::record-notes tea.md", "more"]
    assert desk.names() == {"tea.md"}


def as_a_link(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside / "victim.md")


def as_a_folder(path: Path, outside: Path) -> None:
    path.unlink()
    path.mkdir()


def as_a_pipe(path: Path, outside: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def in_a_linked_folder(path: Path, outside: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to(outside)


def in_a_file(path: Path, outside: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.write_text("no folder")


def below_a_linked_root(path: Path, outside: Path) -> None:
    path.parent.parent.rename(path.parent.parent.with_name("moved"))
    path.parent.parent.symlink_to(outside)


@pytest.mark.parametrize(
    "becomes",
    [
        as_a_link,
        as_a_folder,
        as_a_pipe,
        pytest.param(in_a_linked_folder),
        pytest.param(in_a_file),
        below_a_linked_root,
    ],
)
async def test_what_becomes_something_else_meanwhile_ends_the_recording(
    desk: Desk,
    chat: Chat,
    becomes: Callable[[Path, Path], None],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "victim.md").write_text("victim")
    (outside / "tea.md").write_text("victim")
    await chat.tell("::record-notes sub/tea.md")
    becomes(desk.root / "sub" / "tea.md", outside)
    chat.says("more")
    await chat.look()
    assert (await desk.write())["tea.md"].over
    audited = capsys.readouterr().out
    assert "recording.write" in audited
    assert "decision=deny" in audited
    [row] = await desk.rows()
    assert row.state == "failed"
    [told] = await desk.told(EventType.RECORDING_FAILED)
    assert told["reason"] == row.problem
    assert {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(
        ("victim.md", "tea.md"), "victim"
    )
    assert await desk.write() == {}


async def test_what_goes_beside_leads_nowhere_else(
    desk: Desk, chat: Chat, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (desk.root / "tea.files").symlink_to(outside)
    chat.says("::record-notes tea.md")
    chat.hears(PICTURE)
    await chat.tell()
    assert list(outside.iterdir()) == []
    chat.says("after it")
    await chat.tell()
    assert "after it" in desk.text("tea.md"), "what is said goes on being recorded"
    assert await desk.states() == [("tea.md", "active")]


async def test_a_root_that_is_gone_for_a_while_is_waited_for(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md")
    away = desk.root.rename(desk.folder / "away")
    chat.says("more")
    await chat.look()
    assert (await desk.write())["tea.md"].problem == os.strerror(errno.ENOENT)
    away.rename(desk.root)
    await desk.write()
    assert said(desk, "tea.md") == ["::record-notes tea.md", "more"]


THEIRS = """---
# mine
title: "Tea: a story"
created: 2020-01-01
participants: [me]
tags:
- green
sessionIds:
  - older
nested:
  tags: no
---
Old text.
"""


async def test_a_file_of_the_users_keeps_what_is_in_it_and_our_lists_are_added(
    desk: Desk, chat: Chat
) -> None:
    desk.workspace(settings='tags = ["green", "chat"]\n[front_matter]\nevent_kinds = true')
    (desk.root / "tea.md").write_text(THEIRS)
    chat.says("::record-notes tea.md")
    chat.answers("answer")
    await chat.tell()
    [row] = await desk.rows()
    expected = THEIRS.replace("- green\n", "- green\n- chat\n").replace(
        "- older\n", f'- older\n  - "{SESSION}"\n'
    )
    expected = expected.replace("[me]", "[me, claude-x-4.5]")
    head, old = expected.rsplit("---\n", 1)
    text = desk.text("tea.md")
    assert text.startswith(head)
    added, rest = text[len(head) :].split("---\n", 1)
    assert added.split("\n") == [
        "workspaceIds:",
        "  - wsp_0123456780000001",
        "recordingIds:",
        f"  - {row.id}",
        "conversationEventKinds:",
        "  - message.user",
        "  - message.assistant",
        "",
    ]
    assert rest.startswith(old + "\n# user_")
    before = text
    await chat.tell("more")
    assert desk.text("tea.md").startswith(before)
    assert said_behind(desk.text("tea.md"), "Old text.") == ["::record-notes tea.md", "answer", "more"]


def said_behind(text: str, mark: str) -> list[str]:
    lines = text.split(mark, 1)[1].split("\n")
    return [line for line in lines if line and not line.startswith("# ")]


@pytest.mark.parametrize(
    "content",
    [
        b"no front matter\n",
        b"no end of a line",
        "Latin: \xfc\n".encode("latin-1"),
        b"---\ntitle: \xfc\xff\n---\nbytes \xff\n",
        b"---\r\ntitle: dos\r\n---\r\ntext\r\n",
        b"",
        b"---\nnever: ended\n",
        b"\xef\xbb\xbf# with a mark\n",
    ],
)
async def test_whatever_stands_in_a_file_stays(desk: Desk, chat: Chat, content: bytes) -> None:
    path = desk.root / "tea.md"
    path.write_bytes(content)
    await chat.tell("::record-notes tea.md")
    await chat.tell("more")
    text = path.read_bytes()
    at = 0
    for line in content.splitlines(keepends=True):
        at = text.index(line, at) + len(line)
    assert text.endswith(b"\n\n::record-notes tea.md\n\nmore\n\n")


async def test_an_own_recording_in_a_file_of_the_users_does_not_let_them_lose_it(
    desk: Desk, chat: Chat
) -> None:
    (desk.root / "tea.md").write_text("precious\n")
    await chat.tell("::record-notes tea.md")
    await chat.tell("::stop")
    await chat.tell("::export-notes tea.md")
    assert "precious" in desk.text("tea.md")


async def test_an_export_into_the_file_of_a_recording_loses_nothing_of_it(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md")
    await chat.tell("::export-notes tea.md")
    await chat.tell("more")
    await chat.tell("::stop")
    assert "more" in said(desk, "tea.md")


async def test_a_file_that_only_its_owner_may_read_stays_so(desk: Desk, chat: Chat) -> None:
    path = desk.root / "tea.md"
    path.write_text("---\ntitle: private\n---\n")
    path.chmod(0o600)
    await chat.tell("::record-notes tea.md")
    assert "sessionIds" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "stem",
    [
        "a" * 240,
        pytest.param("漢" * 80, id="wide"),
        pytest.param("a" * 250, id="long"),
    ],
)
async def test_any_name_that_a_file_may_have_can_be_recorded_into(desk: Desk, chat: Chat, stem: str) -> None:
    chat.says(f"::record-notes {stem}.md")
    chat.hears(PICTURE)
    await chat.tell()
    [row] = await desk.rows()
    assert (row.state, row.problem) == ("active", None)


async def test_recordings_into_one_file_stand_in_their_order(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md\none")
    await chat.tell("two\n::stop\nnot this")
    await chat.tell("nor this")
    await chat.tell("::record-notes tea.md\nthree")
    await chat.tell("four")
    assert said(desk, "tea.md") == [
        "::record-notes tea.md",
        "one",
        "two",
        "::record-notes tea.md",
        "three",
        "four",
    ]
    assert desk.text("tea.md").count("- rec_") == 2


async def test_who_stops_finishes_before_who_comes_next_begins(desk: Desk, chat: Chat) -> None:
    other = desk.chat(OTHER)
    chat.says("::record-notes tea.md\none")
    await chat.look()
    chat.says("two\n::stop")
    await chat.look()
    other.says("::record-notes tea.md\nother")
    await other.look()
    chat.says("three")
    other.says("\n::stop\n::record-notes tea.md\nagain")
    await chat.look()
    await other.look()
    assert await desk.states() == [("tea.md", "stopping"), ("tea.md", "stopping"), ("tea.md", "active")]
    done = await desk.write()
    assert not done["tea.md"].over
    assert await desk.states() == [("tea.md", "stopped"), ("tea.md", "stopped"), ("tea.md", "active")]
    assert said(desk, "tea.md") == [
        "::record-notes tea.md",
        "one",
        "two",
        "::record-notes tea.md",
        "other",
        "::record-notes tea.md",
        "again",
    ]
    stopped = await desk.told(EventType.RECORDING_STOPPED)
    assert [one["conversation"] for one in stopped] == [chat.id, other.id]


async def test_of_two_that_want_one_file_at_the_same_moment_one_gets_it(desk: Desk, chat: Chat) -> None:
    chats = [chat, desk.chat(OTHER)]
    for one in chats:
        one.says("::record-notes tea.md")
    done = await asyncio.gather(*(one.look() for one in chats))
    assert sorted((one.obeyed, one.refused) for one in done) == [(0, 1), (1, 0)]
    assert await desk.states() == [("tea.md", "active")]
    assert len(await desk.told(EventType.CHAT_COMMAND_REFUSED)) == 1


async def test_what_another_host_records_is_left_to_it(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md")
    [row] = await desk.rows()
    async with desk.database.write() as connection:
        await recordings.change(connection, row.id, host="there")
    chat.says("more")
    assert (await chat.look()).pending == ()
    assert await desk.write() == {}


async def test_each_recording_belongs_to_its_tenant(desk: Desk, chat: Chat) -> None:
    await chat.tell("::record-notes tea.md")
    [row] = await desk.rows()
    async with desk.database.read() as connection:
        assert await recordings.get(connection, TENANT, row.id) is not None
        assert await recordings.get(connection, "globex", row.id) is None
        assert await recordings.behind(connection, "globex", HOST, 10) == []
        assert await recordings.at_path(connection, "globex", row.path_key) == []
        query = sa.select(schema.recordings.c.tenant)
        assert set(await connection.scalars(query)) == {TENANT}


async def test_a_stop_that_comes_while_the_writer_looks_is_the_end(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.says("::record-notes tea.md\none")
    await chat.look()
    prepare = piece_module.Piece.prepare

    async def after_the_stop(piece: Any) -> Any:
        # What the writer has seen of the recording is old by now.
        monkeypatch.setattr(piece_module.Piece, "prepare", prepare)
        chat.says("two\n::stop\nnothing of this")
        chat.answers("nor this")
        await chat.look()
        return await prepare(piece)

    monkeypatch.setattr(piece_module.Piece, "prepare", after_the_stop)
    await desk.again("tea.md")
    assert await desk.states() == [("tea.md", "stopped")]
    assert said(desk, "tea.md") == ["::record-notes tea.md", "one", "two"]


async def test_what_an_agent_says_to_its_sub_agent_is_no_command(desk: Desk) -> None:
    path = desk.folder / "chats" / SESSION / "subagents" / "agent-1a2b3c4d.jsonl"
    sub = Chat(desk, path)
    sub.says("::record-notes tea.md")
    assert (await sub.look()).obeyed == 0
    assert await desk.states() == []


async def test_what_is_recorded_into_a_folder_goes_on_when_it_is_asked_for_again(
    desk: Desk, chat: Chat
) -> None:
    await chat.tell("::record-notes plans/", "::record-notes plans/")
    await chat.tell("::record-notes plans")
    assert [state for _, state in await desk.states()] == ["active"]


async def test_a_long_history_without_times_stays_old_when_looking_through_it_breaks_off(
    desk: Desk, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        chat.says(f"{number}\n::record-notes old-{number}.md", timestamp=None)
    monkeypatch.setattr(turn, "_PART", 2)
    part = turn.Turn.part

    async def dies(run: turn.Turn) -> bool:
        if run._conversation.obeyed:
            raise Crash
        return await part(run)

    monkeypatch.setattr(turn.Turn, "part", dies)
    with pytest.raises(Crash):
        await chat.look(fresh=False)
    monkeypatch.setattr(turn.Turn, "part", part)
    assert (await chat.look(fresh=False)).obeyed == 0
    chat.says("::record-notes new.md", timestamp=None)
    assert (await chat.look(fresh=False)).obeyed == 1


async def test_a_recording_that_was_stopped_goes_on_in_its_file_when_it_is_asked_for_again(
    desk: Desk, chat: Chat
) -> None:
    await chat.tell("::capture-notes cap.md", "::stop-notes", "between", "::record-notes", "after")
    assert await desk.states() == [("cap.md", "stopped"), ("cap.md", "active")]
    text = desk.text("cap.md")
    assert "after" in text
    assert "between" not in text
