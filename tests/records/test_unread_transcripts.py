"""Transcripts that cannot be read exactly when it is their turn: told, and read as soon as they can be."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from misbehaving import Patient, that_hangs
from recordings import HOST, SESSION
from stacks import TENANT, eventually
from temporalio.testing import ActivityEnvironment
from watchfiles import Change

from minoots_activities.capture import announcing
from minoots_activities.capture.adapter import Capture
from minoots_activities.capture.flags import WorkspaceFlags
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.obeying import Obeying
from minoots_activities.capture.readers import Reader
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.sources import About, Source
from minoots_activities.capture.unread import Unread
from minoots_activities.capture.watcher import Watcher
from minoots_activities.capture.writing import Writing
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations
from minoots_platform.records.conversations import Whose
from minoots_platform.redaction import Policy, Redactor
from minoots_workflows.capture.contracts import CaptureStart, FileChanged, Read


class Roots(ReadRoots):
    """Folders on a disk with bad places."""

    bad: Path | None = None

    def open(self, path: Path) -> BinaryIO:
        file = super().open(path)
        if path != self.bad:
            return file
        file.close()
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


class Machine:
    """A watcher and who reads what it tells of, without Temporal in between."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.now = 0.0
        self.root = folder / "chats"
        self.root.mkdir()
        self.path = self.root / "project" / f"{SESSION}.jsonl"
        self.path.parent.mkdir()
        self.roots = Roots([self.root])
        self.unread = Unread(lambda: self.now)
        about: dict[str, Any] = {"tenant": TENANT, "host": HOST}
        ingest = Ingest(database, self.roots, Redactor(Policy()), utc_now, **about)
        registry = Registry(folder / "registry.json")
        obeying = Obeying(database, registry, [], WorkspaceFlags(), utc_now, **about)
        nobody: Any = None  # reading tells no workflow
        writing = Writing(database, utc_now, **about)
        self.capture = Capture(
            database, ingest, obeying, writing, nobody, utc_now, **about, unread=self.unread
        )
        self.told: list[FileChanged] = []
        self.watcher = Watcher(
            [Source(Claude(), self.root, named=True)],
            self.roots,
            self.tell,
            **about,
            settle=0.01,
            rescan=300,
            idle=60,
            unread=self.unread,
        )
        self.answering = ingest._answering = self.watcher._listing.answering = Patient()
        self.watcher._memory.began = True

    async def tell(self, start: CaptureStart, file: FileChanged) -> None:
        self.told.append(file)

    def say(self, text: str, path: Path | None = None) -> None:
        record = {"type": "user", "uuid": text, "sessionId": SESSION, "message": {"content": text}}
        with (path or self.path).open("a") as file:
            file.write(json.dumps(record) + "\n")

    async def look(self) -> list[FileChanged]:
        """Look at everything once, a while later; return what was told."""
        self.now += 1000
        self.told.clear()
        await self.watcher.look()
        return list(self.told)

    async def read(self, file: FileChanged) -> Read:
        return await ActivityEnvironment().run(self.capture.read, file)

    async def kept(self) -> list[str | None]:
        public_id = Whose("claude", SESSION).id_for(TENANT)
        async with self.database.read() as connection:
            found = await conversations.events_of(connection, TENANT, public_id)
        return [event.text for event in found]


@pytest.fixture
def machine(database: Database, tmp_path: Path) -> Machine:
    return Machine(database, tmp_path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # names of sockets are short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def a_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.stat("/dev/full").st_rdev)
    except PermissionError:
        pytest.skip("only root makes devices")


def a_link_elsewhere(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def a_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    "becomes", [a_folder, a_pipe, a_socket, a_device, a_link_elsewhere, a_loop], ids=lambda one: one.__name__
)
@pytest.mark.parametrize("known", [True, False])
async def test_what_became_something_else_before_it_was_read_is_read_when_it_is_back(
    machine: Machine, becomes: Callable[[Path], None], known: bool
) -> None:
    if known:
        machine.say("one")
        for file in await machine.look():
            await machine.read(file)
    machine.say("two")
    [file] = await machine.look()
    away = machine.path.rename(machine.root.parent / "away")
    becomes(machine.path)
    assert (await machine.read(file)).problem is not None
    assert await machine.look() == [], "it is not tried while it is no transcript"
    assert any(str(machine.path) in trouble for trouble in machine.watcher.stats.troubles)
    assert machine.watcher.stats.problem is not None
    machine.path.rmdir() if machine.path.is_dir() else machine.path.unlink()
    away.rename(machine.path)  # the same as it was: nothing but its name tells of it
    [again] = await machine.look()
    assert again.fresh == file.fresh, "commands in it are no history now"
    assert (await machine.read(again)).problem is None
    assert await machine.kept() == (["one"] if known else []) + ["two"]
    assert await machine.look() == []
    assert (machine.watcher.stats.troubles, machine.watcher.stats.problem) == ((), None)


async def test_a_bad_place_on_a_disk_is_told_and_tried_more_and_more_rarely(machine: Machine) -> None:
    machine.say("one")
    [file] = await machine.look()
    machine.roots.bad = machine.path
    assert "Input/output error" in str((await machine.read(file)).problem)
    # Opened it can be by now, but it still cannot be read.
    machine.roots.bad = None
    tried = []
    for _ in range(2000):
        machine.now += 1
        machine.told.clear()
        await machine.watcher.look() if machine.unread.due() else None
        for again in machine.told:
            tried.append(machine.now)
            machine.roots.bad = machine.path
            await machine.read(again)
            machine.roots.bad = None
    assert 8 <= len(tried) <= 14
    [again] = await machine.look()
    assert (await machine.read(again)).new == 1
    assert await machine.kept() == ["one"]


async def test_what_is_gone_is_no_trouble_any_more(machine: Machine) -> None:
    machine.say("one")
    [file] = await machine.look()
    machine.path.rename(machine.root.parent / "away")
    a_pipe(machine.path)
    assert (await machine.read(file)).problem is not None
    machine.path.unlink()
    await machine.look()
    assert machine.watcher.stats.troubles == ()
    assert (await machine.read(file)).problem is None


async def test_a_folder_that_cannot_be_entered_and_a_root_that_is_missing_are_told(
    machine: Machine,
) -> None:
    machine.say("one")
    assert len(await machine.look()) == 1
    elsewhere = machine.root.rename(machine.root.with_name("elsewhere"))
    await machine.look()
    assert machine.watcher.stats.problem == f"{machine.root}: No such file or directory"
    machine.root.write_text("no folder")
    await machine.look()
    assert machine.watcher.stats.troubles == (f"{machine.root}: Not a directory",)
    machine.root.unlink()
    elsewhere.rename(machine.root)
    machine.say("two")
    assert len(await machine.look()) == 1
    assert machine.watcher.stats.troubles == ()


async def test_a_root_that_does_not_answer_holds_up_no_other(machine: Machine, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    machine.watcher._sources.append(Source(Claude(), other))
    machine.roots._roots = (*machine.roots._roots, other)
    with that_hangs(machine.root) as mount:
        machine.answering.silent = machine.root
        machine.say("one", other / f"{SESSION}.jsonl")
        assert [file.path for file in await machine.look()] == [str(other / f"{SESSION}.jsonl")]
        assert machine.watcher.stats.troubles == (
            f"{machine.root}: the disk or server that holds it does not answer",
        )
        mount.let_go()

    async def troubles() -> tuple[str, ...]:
        await machine.look()
        return machine.watcher.stats.troubles

    await eventually(troubles, lambda found: not found)


async def test_a_transcript_whose_disk_does_not_answer_holds_up_nobody_and_is_read_when_it_does(
    machine: Machine,
) -> None:
    machine.say("one")
    [file] = await machine.look()
    with that_hangs(machine.root) as mount:
        machine.answering.silent = machine.root
        async with asyncio.timeout(90):
            assert "does not answer" in str((await machine.read(file)).problem)
            # Whoever looks for what was left behind, and for what can be read by now.
            await machine.watcher.again([file.path])
            assert await machine.look() == []
        assert any("does not answer" in trouble for trouble in machine.watcher.stats.troubles)
        mount.let_go()
        machine.answering.silent = None
    [again] = await machine.look()
    assert (await machine.read(again)).new == 1
    await machine.look()
    assert (machine.watcher.stats.troubles, machine.watcher.stats.problem) == ((), None)


async def test_what_was_unreadable_and_is_no_transcript_any_more_is_no_trouble(machine: Machine) -> None:
    machine.say("one")
    [file] = await machine.look()
    machine.path.unlink()
    a_pipe(machine.path)
    assert (await machine.read(file)).problem is not None
    machine.path.unlink()
    other = machine.path.with_name("journal.jsonl")
    other.write_text('{"of": "something else"}\n')
    machine.unread.missed(str(other), str(other), "it was no file", fresh=True)
    assert await machine.look() == []
    await machine.look()
    assert machine.watcher.stats.troubles == ()


async def test_files_below_a_root_that_do_not_answer_hold_up_no_other(
    machine: Machine, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    away = machine.root / "away"
    other.mkdir()
    away.mkdir()
    machine.watcher._sources.append(Source(Claude(), other))
    machine.roots._roots = (*machine.roots._roots, other)
    with that_hangs(away) as mount:
        machine.answering.silent = machine.root
        silent = [away / f"{SESSION[:-2]}{number}.jsonl" for number in range(10, 40)]
        good = other / f"{SESSION}.jsonl"
        machine.say("one", good)
        async with asyncio.timeout(90):
            await machine.watcher.changed(map(str, [*silent, good]))
            assert [file.path for file in machine.told] == [str(good)]
            # Told of, but not to be opened any more.
            await machine.watcher._announcer.announce(
                (machine.watcher._sources[0], str(path), About(1, 1, 1)) for path in silent
            )
            machine.say("two", good)
            assert [file.path for file in await machine.look()] == [str(good)]
            await machine.watcher._happened({(Change.added, str(path)) for path in silent})
            await machine.watcher._enter([str(away)])
        [trouble] = machine.watcher.stats.troubles
        assert trouble == f"{machine.root}: the disk or server that holds it does not answer"
        mount.let_go()


async def test_a_file_that_opens_and_is_not_read_holds_up_no_other(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [machine.path.with_name(f"{SESSION[:-2]}{number}.jsonl") for number in range(10, 18)]
    answers = threading.Event()
    begun = announcing.beginning_of

    def beginning_of(reader: Reader, file: Any) -> Any:
        # What was opened relative to a folder has no name but this.
        if Path(os.readlink(f"/proc/self/fd/{file.fileno()}")) in many:
            assert answers.wait(60)
        return begun(reader, file)

    monkeypatch.setattr(announcing, "beginning_of", beginning_of)
    for path in many:
        machine.say("one", path)
    machine.say("one")
    async with asyncio.timeout(90):
        looking = asyncio.ensure_future(machine.look())
        await eventually(lambda: _done(machine.told), lambda told: bool(told))
        assert [file.path for file in machine.told] == [str(machine.path)]
        # What needs a thread of the loop gets one.
        assert await asyncio.to_thread(machine.path.exists)
        answers.set()
        await looking
    assert len(machine.told) == 9


async def _done(told: list[FileChanged]) -> list[FileChanged]:
    return told


async def test_a_session_that_could_not_be_read_and_is_gone_from_its_store_is_no_trouble(
    machine: Machine, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    path = other / "sessions.db"
    machine.watcher._sources.append(Source(Goose(), other))
    machine.roots._roots = (*machine.roots._roots, other)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE sessions (id TEXT, description TEXT);"
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, content_json TEXT);"
            "INSERT INTO sessions VALUES ('s1', 'Tea'), ('s2', 'Cake');"
        )
    files = {file.session_id: file for file in await machine.look()}
    machine.roots.bad = path
    assert (await machine.read(files["s2"])).problem is not None
    machine.roots.bad = None
    with closing(sqlite3.connect(path)) as database:
        database.executescript("DELETE FROM sessions WHERE id = 's2';")
    assert [file.session_id for file in await machine.look()] == []
    await machine.look()
    assert machine.watcher.stats.troubles == ()
