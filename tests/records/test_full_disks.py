"""Disks that are really full: told, nothing torn, and everything goes on when there is space again."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from misbehaving import SmallDisk, that_is_small
from recordings import Desk

from minoots.contracts import EventType
from minoots.errors import Failure, FailureKind
from minoots_activities.capture import writing
from minoots_platform.records import Database, schema
from minoots_workers.watching import _Stopped, _until_it_works

NO_SPACE = "No space left on device"
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" + "A" * 40_001},
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with that_is_small(tmp_path / "small") as disk:
        yield disk


@pytest.mark.parametrize("leave", [0, 4096, 8192])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_recording_on_a_full_disk_is_neither_torn_nor_lost(
    database: Database, tmp_path: Path, disk: SmallDisk, begun: bool, leave: int
) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace(root=disk.folder / "notes")
    desk.root = disk.folder / "notes"
    chat = desk.chat()
    chat.says("::record-notes tea.md")
    chat.answers("first")
    if begun:
        await chat.tell()
    before = (desk.root / "tea.md").read_bytes() if begun else None
    chat.says("word " * 4000)
    chat.hears(PICTURE)
    chat.answers("last")
    await chat.look()
    disk.fill(leave)
    for _ in range(3):
        done = (await desk.write())["tea.md"]
        assert (done.over, done.problem) == (False, NO_SPACE)
        assert done.again_at == desk.clock() + writing.AGAIN
    [row] = await desk.rows()
    assert (row.state, row.problem) == ("active", NO_SPACE)
    assert len(await desk.told(EventType.RECORDING_TROUBLED)) == 1
    if before is not None:
        assert (desk.root / "tea.md").read_bytes().startswith(before)
    disk.empty()
    done = (await desk.write())["tea.md"]
    assert (done.problem, done.again_at) == (None, None)
    assert len(await desk.told(EventType.RECORDING_RECOVERED)) == 1
    found = desk.text("tea.md")

    once = desk.folder / "once"
    desk.workspace("once", root=once)
    desk.root = once
    chat.says("::export-once tea.md")
    await chat.tell()
    whole = desk.body("tea.md")
    assert found.split("\n---\n", 1)[1].strip() == whole.strip()
    names = {path.name for path in (disk.folder / "notes").iterdir()}
    assert {name for name in names if name.endswith((".new", "~"))} == set()


async def test_records_on_a_full_disk_are_whole_and_go_on(sqlite_template: Path, tmp_path: Path) -> None:
    with that_is_small(tmp_path / "small", "8m") as disk:
        file = disk.folder / "minoots.db"
        shutil.copy(sqlite_template, file)
        async with Database(f"sqlite:///{file}") as database:
            desk = Desk(database, tmp_path)
            desk.workspace()
            chat = desk.chat()
            await chat.tell("::record-notes tea.md")
            disk.fill()
            for number in range(40):
                chat.says(f"{number} " + os.urandom(8000).hex())
            for _ in range(3):
                with pytest.raises(sa.exc.OperationalError, match=r"disk is full|disk I/O error"):
                    await chat.look()
            disk.empty()
            await chat.tell()
            body = desk.body("tea.md")
            assert [body.count(f"\n{number} ") for number in range(40)] == [1] * 40
            async with database.read() as connection:
                assert (await connection.exec_driver_sql("PRAGMA integrity_check")).scalar_one() == "ok"
                query = sa.select(sa.func.count()).select_from(schema.conversation_events)
                assert (await connection.execute(query)).scalar_one() == 41


async def test_capturing_waits_for_space_and_begins_by_itself(sqlite_template: Path, tmp_path: Path) -> None:
    with that_is_small(tmp_path / "small", "8m") as disk:
        file = disk.folder / "minoots.db"
        shutil.copy(sqlite_template, file)
        async with Database(f"sqlite:///{file}") as database:
            reasons: list[str] = []
            disk.fill()

            async def step() -> str:
                async with database.write() as connection:
                    await connection.exec_driver_sql(
                        "CREATE TABLE ballast AS SELECT zeroblob(500000) AS data"
                    )
                return "written"

            def troubled(why: str) -> None:
                reasons.append(why)
                disk.empty()

            async with asyncio.timeout(90):
                assert await _until_it_works(step, troubled=troubled) == "written"
            assert len(reasons) == 1
            assert "full" in reasons[0] or "I/O" in reasons[0]


async def test_a_stop_ends_the_waiting_and_what_waiting_does_not_mend_is_raised() -> None:
    stop = asyncio.Event()

    async def full() -> None:
        raise Failure(FailureKind.UNAVAILABLE, "no room")

    async def wrong() -> None:
        raise Failure(FailureKind.CONFLICT, "another one")

    async with asyncio.timeout(90):
        with pytest.raises(_Stopped):
            await _until_it_works(full, stop, lambda _: stop.set())
        with pytest.raises(Failure, match="another one"):
            await _until_it_works(wrong)
