"""Files beside a recording that cannot be written: the recording goes on, it is told, and mended later."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from recordings import SESSION, Chat, Crash, Crashes, Desk, dies_at

from minoots.contracts import EventType
from minoots_activities.capture import placing, writing
from minoots_activities.capture.rendering import Rendering
from minoots_platform.records import Database, enclosures

IMAGE = b"\x89PNG no image, but bytes"
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(IMAGE).decode()},
}
LONG = "line\n" * 2000
FOLDER = "tea.files"


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace(settings="[flags]\nwriterIncludeToolCalls = true\nwriterIncludeToolResults = true")
    return desk


def a_file(folder: Path) -> None:
    folder.write_text("mine")


def a_link(folder: Path) -> None:
    folder.symlink_to(folder.parent.parent)


async def kept(desk: Desk) -> set[bytes]:
    return {path.read_bytes() for path in (desk.root / FOLDER).iterdir()}


@pytest.mark.parametrize("stands", [a_file, a_link])
async def test_what_is_in_the_way_is_told_and_mended_when_it_is_gone(
    desk: Desk, stands: Callable[[Path], None]
) -> None:
    chat = desk.chat()
    stands(desk.root / FOLDER)
    chat.says("::record-notes tea.md")
    chat.hears(PICTURE)
    chat.hears({"type": "tool_result", "tool_use_id": "c1", "content": LONG})
    await chat.look()
    done = (await desk.write())["tea.md"]
    [row] = await desk.rows()
    assert row.state == "active"
    assert done.problem is not None
    assert "tea" not in done.problem, "it goes into a history"
    assert FOLDER in row.problem
    assert "and 1 more" in row.problem
    assert done.again_at == desk.clock() + writing.MEND
    [told] = await desk.told(EventType.RECORDING_TROUBLED)
    assert told["reason"] == row.problem
    await chat.tell("goes on")
    assert "goes on" in desk.text("tea.md")
    assert len(await desk.told(EventType.RECORDING_TROUBLED)) == 1, "told once"

    before = desk.text("tea.md")
    (desk.root / FOLDER).unlink()
    desk.now += writing.MEND
    done = await desk.again("tea.md")
    assert (done.problem, done.again_at) == (None, None)
    assert await kept(desk) == {IMAGE, LONG.encode()}
    assert desk.text("tea.md") == before
    [row] = await desk.rows()
    assert (row.problem, row.rendering.get("missing")) == (None, None)
    assert len(await desk.told(EventType.RECORDING_RECOVERED)) == 1


async def test_it_is_not_tried_with_every_word(desk: Desk) -> None:
    chat, write = desk.chat(), desk.writing()
    a_file(desk.root / FOLDER)
    chat.says("::record-notes tea.md")
    chat.hears(PICTURE)
    await chat.look()
    [row] = await desk.rows()
    await write.file(row.path_key)
    (desk.root / FOLDER).unlink()
    for _ in range(3):
        chat.says("more")
        await chat.look()
        assert (await write.file(row.path_key)).problem is not None
    assert not (desk.root / FOLDER).exists()
    desk.now += writing.MEND
    assert (await write.file(row.path_key)).problem is None
    assert await kept(desk) == {IMAGE}


async def test_what_stays_in_the_way_is_tried_more_and_more_rarely_and_nothing_is_rendered_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, write = desk.chat(), desk.writing()
    a_file(desk.root / FOLDER)
    chat.says("::record-notes tea.md")
    chat.hears(PICTURE)
    await chat.look()
    [row] = await desk.rows()
    again_at = (await write.file(row.path_key)).again_at
    waits = []
    with monkeypatch.context() as broken:
        broken.setattr(Rendering, "of", None)
        for _ in range(9):
            assert again_at is not None
            waits.append(again_at - desk.now)
            desk.now = again_at
            again_at = (await write.file(row.path_key)).again_at
    minutes = [wait / timedelta(minutes=1) for wait in waits]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(await desk.told(EventType.RECORDING_TROUBLED)) == 1
    (desk.root / FOLDER).unlink()
    desk.now += writing.MEND_AT_MOST
    assert (await write.file(row.path_key)).problem is None
    assert await kept(desk) == {IMAGE}


async def test_only_what_is_missing_is_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    chat, write = desk.chat(), desk.writing()
    chat.says("::record-notes tea.md")
    chat.hears(PICTURE)
    chat.hears({"type": "tool_result", "tool_use_id": "c1", "content": LONG})
    await chat.look()
    [row] = await desk.rows()
    await write.file(row.path_key)
    [output] = (desk.root / FOLDER).glob("*.txt")
    # Somebody has put a folder in the place of one of two, and the file is made anew.
    output.unlink()
    output.mkdir()
    (desk.root / "tea.md").unlink()
    await chat.tell("more")
    assert output.name in (await desk.rows())[0].problem
    output.rmdir()
    put: list[str] = []
    placed = placing.put

    def putting(folder: int, name: str, *more: Any) -> Any:
        put.append(name)
        return placed(folder, name, *more)

    monkeypatch.setattr(placing, "put", putting)
    read: list[str] = []

    async def enclosure(*_: object) -> None:
        read.append("an image that is there")

    monkeypatch.setattr(enclosures, "enclosure", enclosure)
    desk.now += writing.MEND
    assert (await desk.again("tea.md")).problem is None
    assert [name for name in put if not name.startswith(".")] == [output.name]
    assert read == []


async def test_an_export_that_is_over_is_mended_too_but_not_for_ever(desk: Desk) -> None:
    chat, write = desk.chat(), desk.writing()
    a_file(desk.root / FOLDER)
    chat.hears(PICTURE)
    chat.says("::export-notes tea.md")
    await chat.look()
    [row] = await desk.rows()
    done = await write.file(row.path_key)
    assert (done.over, done.again_at) == (False, desk.clock() + writing.MEND)
    assert [one.state for one in await desk.rows()] == ["stopped"]
    desk.now += writing.MEND
    assert not (await write.file(row.path_key)).over
    (desk.root / FOLDER).unlink()
    desk.now += 2 * writing.MEND
    assert (await write.file(row.path_key)).over
    assert await kept(desk) == {IMAGE}

    (desk.root / "b.files").write_text("mine")
    chat.says("::export-notes b.md")
    await chat.look()
    other = (await desk.rows("b.md"))[0]
    assert not (await write.file(other.path_key)).over
    desk.now += writing.PATIENCE + timedelta(seconds=1)
    assert (await write.file(other.path_key)).over


async def test_what_a_sub_agent_said_is_mended_too(desk: Desk) -> None:
    chat = desk.chat()
    agent = Chat(desk, desk.folder / "chats" / SESSION / "subagents" / "agent-1a2b.jsonl")
    await chat.tell("::record-notes tea.md")
    agent.answers("Found some.")
    await agent.look()
    a_file(desk.root / FOLDER)
    result = {"type": "tool_result", "tool_use_id": "c", "content": "done"}
    chat.hears(result, toolUseResult={"agentId": "1a2b"})
    await chat.look()
    await desk.write()
    assert "agent-1a2b.md" in (await desk.rows())[0].problem
    (desk.root / FOLDER).unlink()
    desk.now += writing.MEND
    assert (await desk.again("tea.md")).problem is None
    assert b"Found some." in (await kept(desk)).pop()


async def test_a_death_in_between_loses_nothing_of_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = 0
    while True:
        dying += 1
        chat = desk.chat(f"{dying:08}-0000-4000-8000-000000000001")
        name, folder = f"t{dying}.md", desk.root / f"t{dying}.files"
        await chat.tell(f"::record-notes {name}")
        a_file(folder)
        chat.hears(PICTURE)
        await chat.look()
        with monkeypatch.context() as patch:
            crashes = Crashes(desk.database, patch)
            crashes.dies = dies_at(dying)
            try:
                await desk.again(name)
                survived = True
            except Crash:
                survived = False
        await desk.again(name)
        folder.unlink()
        desk.now += writing.MEND
        desk.number += 60
        assert (await desk.again(name)).problem is None
        assert [path.read_bytes() for path in folder.iterdir()] == [IMAGE], dying
        if survived:
            break
