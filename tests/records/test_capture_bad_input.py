"""Transcripts that may not be read any more, and records whose disk is full: told, and lost nothing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from capturing import capturing
from misbehaving import bound_by_permissions
from recordings import SESSION, Desk
from stacks import TENANT, Stack, eventually
from temporalio.testing import ActivityEnvironment

from minoots.contracts import EventType
from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture import ingest, piece, writing
from minoots_activities.capture.adapter import Capture
from minoots_activities.capture.flags import WorkspaceFlags
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.obeying import Obeying
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.watcher import Watcher
from minoots_activities.capture.writing import Writing
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, conversations, schema
from minoots_platform.records.conversations import File, Whose
from minoots_platform.redaction import Policy, Redactor
from minoots_workflows.capture.contracts import FileChanged, Read

FULL = "database or disk is full"
HERE = "here"
BATCH = 40
LINES = 200


def said(number: int, session: str = SESSION) -> bytes:
    """A line of a user's, of some length."""
    record = {
        "type": "user",
        "uuid": f"{session}-{number}",
        "sessionId": session,
        "timestamp": f"2026-07-01T10:{number // 60:02}:{number % 60:02}Z",
        "message": {"role": "user", "content": f"hello {number} ü🦉 {'word ' * (number % 50)}"},
    }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def lines(first: int, last: int) -> bytes:
    return b"".join(said(number) for number in range(first, last))


class Host:
    """A machine with transcripts, of which the activities are called as a worker calls them."""

    def __init__(self, database: Database, folder: Path, tenant: str = TENANT) -> None:
        self.database = database
        self.folder = folder
        self.tenant = tenant
        self.ingest = Ingest(
            database, ReadRoots([folder]), Redactor(Policy()), utc_now, tenant=tenant, host=HERE
        )
        obeying = Obeying(
            database,
            Registry(folder / "registry.json"),
            [],
            WorkspaceFlags(),
            utc_now,
            tenant=tenant,
            host=HERE,
        )
        nobody: Any = None  # reading tells no workflow
        self.capture = Capture(
            database,
            self.ingest,
            obeying,
            Writing(database, utc_now, tenant=tenant, host=HERE),
            nobody,
            utc_now,
            tenant=tenant,
            host=HERE,
        )
        self.path = folder / "chats" / f"{SESSION}.jsonl"
        self.path.parent.mkdir(exist_ok=True)

    async def read(self, path: Path | None = None, provider: str = "claude", session: str = "") -> Read:
        whose = Whose(provider, session or SESSION)
        file = FileChanged(
            tenant=self.tenant,
            host=HERE,
            provider=provider,
            path=str(path or self.path),
            session_id=session,
            conversation_id=whose.id_for(self.tenant),
        )
        return await ActivityEnvironment().run(self.capture.read, file)

    async def events(self, session: str = SESSION, provider: str = "claude") -> list[ConversationEvent]:
        async with self.database.read() as connection:
            public_id = Whose(provider, session).id_for(self.tenant)
            return list(await conversations.events_of(connection, self.tenant, public_id))

    async def reading(self) -> conversations.Reading | None:
        async with self.database.read() as connection:
            return await conversations.reading(connection, self.tenant, File(HERE, str(self.path)).key)

    async def told(self, type: EventType) -> list[dict[str, Any]]:
        table = schema.events
        query = sa.select(table.c.data).where(table.c.tenant == self.tenant, table.c.type == type.value)
        async with self.database.read() as connection:
            return list(await connection.scalars(query.order_by(table.c.sequence)))

    async def troubles(self) -> list[str]:
        return [str(one["reason"]) for one in await self.told(EventType.CONVERSATION_TROUBLED)]


@pytest.fixture
def host(database: Database, tmp_path: Path) -> Host:
    return Host(database, tmp_path)


Undo = Callable[[], Any]


def closed_file(path: Path) -> Undo:
    path.chmod(0)
    return lambda: path.chmod(0o600)


def closed_folder(path: Path) -> Undo:
    path.parent.chmod(0)
    return lambda: path.parent.chmod(0o700)


def folder_without_entry(path: Path) -> Undo:
    path.parent.chmod(0o600)
    return lambda: path.parent.chmod(0o700)


def closed_root(path: Path) -> Undo:
    path.parent.parent.chmod(0)
    return lambda: path.parent.parent.chmod(0o700)


def file_in_the_place_of_the_folder(path: Path) -> Undo:
    away = path.parent.rename(path.parent.with_name("away"))
    path.parent.write_text("no folder")

    def undo() -> None:
        path.parent.unlink()
        away.rename(path.parent)

    return undo


@contextmanager
def closed(path: Path, closing: Callable[[Path], Undo] = closed_file) -> Iterator[None]:
    """Keep a transcript from being read for a while."""
    opened = closing(path)
    try:
        with bound_by_permissions():
            yield
    finally:
        opened()


@pytest.fixture(params=[closed_file, closed_folder, folder_without_entry, file_in_the_place_of_the_folder])
def closing(request: pytest.FixtureRequest) -> Callable[[Path], Undo]:
    """What keeps a transcript from being read."""
    found: Callable[[Path], Undo] = request.param
    return found


async def test_a_file_that_may_not_be_read_is_told_once_and_read_on_where_it_was(
    host: Host, closing: Callable[[Path], Undo]
) -> None:
    host.path.write_bytes(lines(0, 3))
    assert (await host.read()).new == 3
    kept, reading = await host.events(), await host.reading()
    with host.path.open("ab") as file:
        file.write(lines(3, 5) + said(5)[:-9])
    with closed(host.path, closing):
        for _ in range(3):
            problem = (await host.read()).problem or ""
            assert "Permission denied" in problem or "Not a directory" in problem
    [reason] = await host.troubles()
    assert "Permission denied" in reason or "Not a directory" in reason
    assert (await host.events(), await host.reading()) == (kept, reading), "nothing kept is touched"
    done = await host.read()
    assert (done.new, done.revised, done.damaged, done.problem) == (2, 0, 0, None)
    with host.path.open("ab") as file:
        file.write(said(5)[-9:])
    assert (await host.read()).new == 1
    events = await host.events()
    assert events[:3] == kept
    assert [(event.text or "").split()[1] for event in events] == ["0", "1", "2", "3", "4", "5"]
    assert {event.revision for event in events} == {1}
    grown = await host.told(EventType.CONVERSATION_GREW)
    assert [(one["first"], one["last"], one["revised"]) for one in grown] == [(1, 3, 0), (4, 5, 0), (6, 6, 0)]
    assert len(await host.troubles()) == 1


async def test_of_a_file_that_was_never_read_it_is_told_once_too(host: Host) -> None:
    # Whose it is was known: its permissions were taken away between the look of the watcher and the reading.
    host.path.write_bytes(lines(0, 2))
    assert await host.troubles() == []
    with closed(host.path):
        for _ in range(3):
            assert "Permission denied" in str((await host.read()).problem)
    told = await host.troubles()
    assert (await host.read()).new == 2
    assert len(told) == 1, told


async def test_trouble_that_was_over_and_comes_again_is_told_again(host: Host) -> None:
    for number in range(2):
        with host.path.open("ab") as file:
            file.write(said(number))
        assert (await host.read()).new == 1
        with closed(host.path):
            assert "Permission denied" in str((await host.read()).problem)
    assert len(await host.troubles()) == 2


def stored(path: Path, text: str) -> None:
    """Say something in a session of Goose's database."""
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE IF NOT EXISTS sessions (id TEXT, description TEXT, updated_at TEXT);"
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, message_id TEXT, session_id TEXT,"
            " role TEXT, content_json TEXT, created_timestamp INTEGER);"
            "INSERT INTO sessions SELECT 's1', 'Tea', 'now' WHERE NOT EXISTS (SELECT 1 FROM sessions);"
        )
        content = json.dumps([{"type": "text", "text": text}])
        database.execute(
            "INSERT INTO messages (message_id, session_id, role, content_json) VALUES (?, 's1', 'user', ?)",
            [text, content],
        )
    database.close()


async def test_of_a_store_that_may_not_be_read_it_is_told_once_too(host: Host) -> None:
    path = host.folder / "sessions.db"
    stored(path, "one")
    await host.read(path, "goose", "s1")
    stored(path, "two")
    with closed(path):
        for _ in range(3):
            assert "Permission denied" in str((await host.read(path, "goose", "s1")).problem)
    told = await host.troubles()
    assert (await host.read(path, "goose", "s1")).new == 1
    assert [event.text for event in await host.events("s1", "goose")] == ["Tea", "one", "two"]
    assert len(told) == 1, told


async def test_what_is_wrong_with_a_session_of_a_store_is_told_once_however_often_it_is_read(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = host.folder / "sessions.db"
    stored(path, "one")
    monkeypatch.setattr(ingest, "problem_of", lambda *_: "nothing of it is understood")
    for text in ("two", "three"):
        for _ in range(2):
            assert (await host.read(path, "goose", "s1")).problem == "nothing of it is understood"
        stored(path, text)
    assert await host.troubles() == ["nothing of it is understood"]
    monkeypatch.undo()
    assert (await host.read(path, "goose", "s1")).problem is None


async def test_what_is_wrong_with_a_file_is_told_once_however_often_it_is_read(host: Host) -> None:
    for number in range(2):
        with host.path.open("a") as file:
            file.write('{"from": "another world"}\n' * 5)
        for _ in range(2):
            assert "is understood" in str((await host.read()).problem), number
    assert [trouble.partition(" records")[0] for trouble in await host.troubles()] == [
        "none of 5", "none of 10",
    ]  # fmt: skip


DEEP = '{"a":[' * 400 + "1" + "]}" * 400
ODD = {
    "half a character": '"a \\ud83d b"',
    "half a character in a name": '{"\\udc00": 1}',
    "nul": '"a\\u0000b"',
    "no number": "NaN",
    "a number without end": "1e999",
    "a long number": "9" * 40,
    "deep": DEEP,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_what_no_database_holds_is_kept_of_a_store_as_far_as_anything_can(host: Host, odd: str) -> None:
    path = host.folder / "sessions.db"
    stored(path, "one")
    content = (
        '[{"type": "toolRequest", "id": "c1", "toolCall": {"status": "success", "value": '
        f'{{"name": "x", "arguments": {{"odd": {odd}}}}}}}}}]'
    )
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO messages (message_id, session_id, role, content_json) VALUES "
            "('two', 's1', 'assistant', ?)",
            [content],
        )
    database.close()
    stored(path, "three")
    done = await host.read(path, "goose", "s1")
    assert (done.new, done.dropped) == (4, 0)
    title, one, call, three = await host.events("s1", "goose")
    assert [title.text, one.text, three.text] == ["Tea", "one", "three"]
    assert call.tool is not None
    assert list(call.tool.input) == ["odd"]


async def looked(watcher: Watcher) -> None:
    """Wait until all files have been looked at twice more: the first look may have been under way."""
    for _ in range(2):
        before = watcher.stats.looks

        async def looks() -> int:
            return watcher.stats.looks

        await eventually(looks, lambda seen, before=before: seen != before)


@pytest.mark.parametrize("closing", [closed_file, closed_folder, closed_root])
async def test_a_host_waits_for_permission_and_loses_nothing(
    stack: Stack, tmp_path: Path, closing: Callable[[Path], Undo]
) -> None:
    async with capturing(stack, tmp_path) as running:
        chat = running.chat()
        for number in range(3):
            chat.say(f"line {number}")
        kept = await running.captured(chat, 3)

        async def troubles() -> list[Any]:
            query = sa.select(schema.events.c.data).where(
                schema.events.c.type == EventType.CONVERSATION_TROUBLED.value
            )
            async with stack.database.read() as connection:
                return list(await connection.scalars(query))

        # What has it open already goes on writing.
        with chat.path.open("ab", buffering=0) as file:
            with closed(chat.path, closing):
                file.write(lines(3, 5))
                if closing is closed_file:
                    await eventually(troubles, lambda told: len(told) > 0)
                else:
                    await looked(running.host.watcher)
                assert await running.events(chat) == kept
        chat.say("the last")
        events = await running.captured(chat, 6)
        assert events[:3] == kept
        assert [event.revision for event in events] == [1] * 6
        assert events[-1].text == "the last"
        assert len(await troubles()) <= 1, "told once; of a folder that is closed no look tells"


@pytest.mark.parametrize(("mode", "begun"), [(0, True), (0o500, True), (0, False), (0o500, False)])
async def test_a_workspace_that_may_not_be_written_is_told_once_and_written_into_later(
    database: Database, tmp_path: Path, mode: int, begun: bool
) -> None:
    desk = Desk(database, tmp_path)
    desk.workspace()
    folder = desk.root / "sub"
    folder.mkdir()
    chat = desk.chat()
    chat.says("::record-notes sub/tea.md")
    await (chat.tell() if begun else chat.look())
    chat.says("more")
    chat.answers("answer")  # a new speaker: the file is put in its place anew
    await chat.look()

    def shut(path: Path) -> Undo:
        path.chmod(mode)
        return lambda: path.chmod(0o700)

    with closed(folder, shut):
        for _ in range(3):
            done = (await desk.write())["tea.md"]
            assert (done.over, done.problem) == (False, "Permission denied")
            assert done.again_at == desk.clock() + writing.AGAIN
    [told] = await desk.told(EventType.RECORDING_TROUBLED)
    assert told["reason"] == "Permission denied"
    done = (await desk.write())["tea.md"]
    assert (done.again_at, done.problem) == (None, None)
    assert len(await desk.told(EventType.RECORDING_RECOVERED)) == 1
    text = desk.body("sub/tea.md")
    assert [text.count(one) for one in ("::record-notes", "more", "answer")] == [1, 1, 1]
    assert desk.names() == {"sub", "sub/tea.md"}


class SmallDisk:
    """Records on a disk that ends: SQLite itself refuses every page beyond it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.most: int | None = None
        sa.event.listen(database.engine.sync_engine, "begin", self._begin)

    def _begin(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self.most or 1 << 30}")

    async def pages(self) -> int:
        async with self._database.read() as connection:
            return int((await connection.exec_driver_sql("PRAGMA page_count")).scalar_one())

    async def leave(self, pages: int) -> None:
        """Leave room for so many pages more."""
        self.most = await self.pages() + pages


@asynccontextmanager
async def on_a_small_disk(template: Path, folder: Path) -> AsyncIterator[tuple[Database, SmallDisk]]:
    """Records in a folder of their own, on a disk whose size is to be told."""
    folder.mkdir()
    shutil.copy(template, folder / "minoots.db")
    async with Database(f"sqlite:///{folder / 'minoots.db'}") as database:
        yield database, SmallDisk(database)


async def require_agreement(host: Host, whole: bytes) -> int:
    """Hold the events that are kept, the mark, the conversation and the feed against each other."""
    reading, events = await host.reading(), await host.events()
    if reading is None:
        assert events == []
        return 0
    assert whole[: reading.offset].count(b"\n") == len(events) == reading.understood
    assert reading.offset == 0 or whole[reading.offset - 1 : reading.offset] == b"\n"
    query = sa.select(schema.conversations.c.events)
    async with host.database.read() as connection:
        assert (await connection.execute(query)).scalar_one() == len(events)
    grown = await host.told(EventType.CONVERSATION_GREW)
    assert sum(one["last"] - one["first"] + 1 for one in grown) == len(events)
    return len(events)


async def test_records_whose_disk_is_full_in_the_middle_of_a_file_keep_whole_parts_and_read_on(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "BATCH", BATCH)
    whole = lines(0, LINES)
    async with on_a_small_disk(sqlite_template, tmp_path / "once") as (database, disk):
        once = Host(database, tmp_path / "once")
        once.path.write_bytes(whole)
        os.utime(once.path, ns=(0, 0))
        before = await disk.pages()
        assert (await once.read()).new == LINES
        needed = await disk.pages() - before
        expected = await once.events(), await once.reading()
    stopped = set()
    for place in range(7):
        async with on_a_small_disk(sqlite_template, tmp_path / f"full-{place}") as (database, disk):
            host = Host(database, tmp_path / f"full-{place}")
            host.path.write_bytes(whole)
            os.utime(host.path, ns=(0, 0))
            for room in (place * needed // 7, 0, needed // 8, needed // 8):
                await disk.leave(room)
                with pytest.raises(sa.exc.OperationalError, match=FULL):
                    await host.read()
                stopped.add(await require_agreement(host, whole))
            disk.most = None
            await host.read()
            assert await require_agreement(host, whole) == LINES
            assert (await host.events(), await host.reading()) == expected
            assert (await host.read()).new == 0
    assert stopped == set(range(0, LINES, BATCH)), "it was full in front of each part"


IMAGE = {
    "type": "base64",
    "media_type": "image/png",
    "data": base64.b64encode(b"\x89PNG bytes" * 99).decode(),
}


async def told_story(desk: Desk) -> None:
    """A conversation with everything that is written at a time and beside, obeyed and not yet written."""
    desk.workspace(settings="[flags]\nwriterIncludeToolCalls = true\nwriterIncludeToolResults = true")
    chat = desk.chat()
    chat.says("before")
    chat.says("above\n::record-notes tea.md\n::record-nowhere\nbelow")
    for number in range(4):
        call = f"c{number}"
        chat.answers(
            f"answer {number}", {"type": "tool_use", "id": call, "name": "ls", "input": {"a": number}}
        )
        chat.hears(
            {"type": "tool_result", "tool_use_id": call, "content": f"{number}" * 5000},
            {"type": "image", "source": IMAGE},
        )
        chat.says("a line\n```\nopen")
        chat.answers(f"another {number}", model=f"claude-y-{number}")
    chat.says("last\n::stop\nnot this")
    await chat.look()


def files_of(desk: Desk) -> dict[str, bytes]:
    return {name: (desk.root / name).read_bytes() for name in desk.names() if (desk.root / name).is_file()}


async def heavier(database: Database) -> None:
    """Let every change of a recording take a page of its own, so that each may be the one that is refused."""
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE ballast (data BLOB)")
        await connection.exec_driver_sql(
            "CREATE TRIGGER heavy AFTER UPDATE ON recordings "
            "BEGIN INSERT INTO ballast VALUES (zeroblob(8000)); END"
        )


async def test_records_whose_disk_is_full_while_a_recording_is_written_leave_a_file_that_ends_the_same(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece, "PART", 3)
    async with on_a_small_disk(sqlite_template, tmp_path / "once") as (database, disk):
        once = Desk(database, tmp_path / "once")
        await told_story(once)
        await heavier(database)
        before = await disk.pages()
        assert (await once.write())["tea.md"].over
        needed = await disk.pages() - before
        expected = files_of(once)
        assert len(await once.told(EventType.RECORDING_STOPPED)) == 1
    assert len(expected) > 2
    assert needed > 20
    refused, torn = 0, 0
    for room in range(0, needed, 2):  # a change takes two pages and more
        async with on_a_small_disk(sqlite_template, tmp_path / f"full-{room}") as (database, disk):
            desk = Desk(database, tmp_path / f"full-{room}")
            await told_story(desk)
            await heavier(database)
            await disk.leave(room)
            for _ in range(2):
                with pytest.raises(sa.exc.OperationalError, match=FULL):
                    await desk.write()
                refused += 1
                [row] = await desk.rows()
                torn += row.intent is not None
                assert row.state == "stopping"
                found = files_of(desk).get("tea.md", b"")
                assert len(found) >= row.size
            disk.most = None
            assert (await desk.write())["tea.md"].over
            assert files_of(desk) == expected, f"full with {room} of {needed} pages left"
            [row] = await desk.rows()
            assert (row.state, row.intent, row.problem) == ("stopped", None, None)
            assert len(await desk.told(EventType.RECORDING_STOPPED)) == 1
            assert await desk.told(EventType.RECORDING_TROUBLED) == []
    assert 0 < torn < refused, "it was full before what is intended, and between that and what is settled"


async def test_records_whose_disk_is_full_obey_nothing_by_halves(
    sqlite_template: Path, tmp_path: Path
) -> None:
    async with on_a_small_disk(sqlite_template, tmp_path / "full") as (database, disk):
        desk = Desk(database, tmp_path / "full")
        desk.workspace()
        chat = desk.chat()
        chat.says("\n".join(f"::export-notes {number}-{'x' * 90}.md" for number in range(60)))
        await desk.read(chat.path, Claude())
        for room in (0, 1, 3, 9):
            await disk.leave(room)
            with pytest.raises(sa.exc.OperationalError, match=FULL):
                await desk.obey(chat.id)
            assert await desk.rows() == []
            assert await desk.told(EventType.RECORDING_STARTED) == []
        disk.most = None
        assert (await desk.obey(chat.id)).obeyed == 60
        assert (await desk.obey(chat.id)).obeyed == 0
        assert len(await desk.rows()) == len(await desk.told(EventType.RECORDING_STARTED)) == 60
