"""Mounts that do not answer: who captures gives signs of life, and the rest goes on."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from capturing import capturing
from misbehaving import Patient, that_hangs
from recordings import Desk
from stacks import Stack, eventually

from minoots.contracts import EventType
from minoots_activities.capture import writing
from minoots_activities.capture.workspaces import FILE, Workspace
from minoots_platform.records import Database, schema

SILENT = "the disk or server that holds it does not answer"


async def test_a_recording_waits_for_its_disk_and_goes_on(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace()
    desk.workspace("other")
    chat, other = desk.chat(), desk.chat("22220000-0000-4000-8000-000000000002")
    await chat.tell("::record-notes tea.md")
    with that_hangs(desk.root) as mount:
        chat.says("more")
        await chat.look()
        for _ in range(2):
            done = (await desk.write())["tea.md"]
            assert (done.over, done.problem) == (False, SILENT)
            assert done.again_at == desk.clock() + writing.AGAIN
        [row] = await desk.rows()
        assert (row.state, row.problem) == ("active", SILENT)
        # In other folders everything is obeyed; a command for this one waits.
        await other.tell("::record-other cake.md")
        assert "::record-other" in (tmp_path / "other" / "cake.md").read_text()
        await other.tell("::record-notes b.md")
        assert desk.obeying.waiting() == {other.id}
        mount.let_go()
    [told] = await desk.told(EventType.RECORDING_TROUBLED)
    assert told["reason"] == SILENT

    async def waiting() -> frozenset[str]:
        return await asyncio.to_thread(desk.obeying.waiting)

    await eventually(waiting, lambda found: not found)
    await other.look()
    await desk.write()
    assert desk.body("tea.md").count("more") == 1
    assert len(await desk.told(EventType.RECORDING_RECOVERED)) == 1
    assert desk.names() == {"tea.md", "b.md"}


async def test_a_command_for_a_path_that_does_not_answer_is_refused_and_the_rest_goes_on(
    database: Database, tmp_path: Path
) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace()
    away, open_ = tmp_path / "away", tmp_path / "open"
    away.mkdir()
    open_.mkdir()
    desk.obeying._write_roots = (away, open_)
    desk.obeying.answering = answering = Patient()
    chat = desk.chat()
    with that_hangs(away) as mount:
        answering.silent = away
        async with asyncio.timeout(90):
            await chat.tell(f"::record-notes {away}/deep/tea.md", f"::record-notes {open_}/tea.md")
            await chat.tell(f"::export-notes {away}/", "more")
        mount.let_go()
    told = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert [one["reason"].rpartition(": ")[2] for one in told] == [SILENT, SILENT]
    assert "more" in (open_ / "tea.md").read_text()


async def test_where_a_conversation_is_held_is_looked_at_beside_the_loop(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace("by-itself", "auto_record = true")
    loop = asyncio.get_running_loop()
    holds = Workspace.holds

    def held(workspace: Workspace, cwd: str) -> bool:
        went_on = threading.Event()
        loop.call_soon_threadsafe(went_on.set)
        assert went_on.wait(60), "the loop waits for it"
        return holds(workspace, cwd)

    monkeypatch.setattr(Workspace, "holds", held)
    monkeypatch.setattr(desk.registry, "_answering", Patient())
    chat = desk.chat()
    chat.cwd = str(tmp_path / "by-itself")
    await chat.tell("tea")
    assert [state for _, state in await desk.states()] == ["active"]


async def test_a_host_gives_signs_of_life_beside_a_workspace_that_does_not_answer(
    stack: Stack, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / FILE).write_text('id = "wsp_9999999999999999"\nauto_record = true\n')

    async def heard() -> Any:
        query = sa.select(schema.capture_hosts.c.seen_at, schema.capture_hosts.c.status)
        async with stack.database.read() as connection:
            return (await connection.execute(query)).one_or_none()

    async with capturing(stack, tmp_path) as running:
        running.registry.add("there", there)
        first = await eventually(heard, lambda row: row is not None and row.status["workspaces"] == [])
        with that_hangs(there) as mount:
            told = await eventually(
                heard, lambda row: row.seen_at > first.seen_at and bool(row.status["workspaces"])
            )
            assert told.status["workspaces"] == [
                f"nothing is recorded for there: {there / FILE} cannot be read: {SILENT}"
            ]
            await eventually(heard, lambda row: row.seen_at > told.seen_at)
            chat = running.chat()
            chat.say("::record-notes tea.md")
            chat.answer("yes")
            assert "yes" in await running.recorded(chat, "yes")
            mount.let_go()
        await eventually(heard, lambda row: row.status["workspaces"] == [])
    assert os.listdir(there) == [FILE]
