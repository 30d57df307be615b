"""Stores while they grow: what is fed in parts, which mark moves, and what a watcher tells."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transcripts import READERS, events

from minoots_activities.capture.readers import Parsed, Reader
from minoots_activities.capture.readers.aider import Aider
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.opencode import OpenCode
from minoots_activities.capture.readers.reader import Identity
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.sources import Source
from minoots_activities.capture.watcher import Watcher
from minoots_workflows.capture.contracts import CaptureStart, FileChanged

T = 1_730_000_000_000

RECORDS: Mapping[str, list[dict[str, Any]]] = {
    "aider": [
        {"started": "2026-06-09 14:01:00", "folder": "/w"},
        {"role": "user", "text": "make tea"},
        {"role": "assistant", "text": "Done."},
        {"role": "system", "text": "Applied edit"},
        {"role": "user", "text": "make tea"},
        {"role": "assistant", "text": "Done."},
    ],
    "goose": [
        {"working_dir": "/w", "description": "Tea"},
        *(
            {"role": role, "created": 1, "content": [{"type": "text", "text": "tea"}]}
            for role in ("user", "assistant", "assistant", "user")
        ),
    ],
    "opencode": [
        {"session": {"title": "Tea", "directory": "/w"}},
        *(
            {
                "message": {"id": f"msg_{number}", "role": "user", "time": {"created": T + number}},
                "parts": [{"id": f"prt_{number}", "type": "text", "text": "tea"}],
            }
            for number in range(4)
        ),
    ],
}


@pytest.mark.parametrize("provider", sorted(RECORDS))
@given(cuts=st.sets(st.integers(1, 5)))
@settings(deadline=None)
def test_a_parser_of_a_store_that_is_fed_in_parts_tells_what_it_tells_at_once(
    provider: str, cuts: set[int]
) -> None:
    """A long session is fed in parts to one parser, and each part is kept by itself."""
    records = RECORDS[provider]
    once, parts = Parsed(), Parsed()
    READERS[provider].parser(Identity("s")).feed(records, once)
    parser = READERS[provider].parser(Identity("s"))
    for begin, end in itertools.pairwise((0, *sorted(cuts), len(records))):
        parser.feed(records[begin:end], parts)
    assert events(parts) == events(once)
    assert len(events(once)) == len(once.drafts) > 3


# Marks

GOOSE = (
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, description TEXT, working_dir TEXT, updated_at TEXT);"
    "CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT, session_id TEXT,"
    " role TEXT, content_json TEXT, created_timestamp INTEGER);"
    "INSERT INTO sessions VALUES ('s', '', '/w', '2026-07-01 10:00:00');"
)
OPENCODE = (
    "CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, directory TEXT, title TEXT,"
    " time_updated INT);"
    "CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INT, time_updated INT,"
    " data TEXT);"
    "CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_updated INT, data TEXT);"
    "INSERT INTO session VALUES ('s', NULL, '/w', '', 5);"
    "INSERT INTO message VALUES ('m', 's', 1, 1, '{\"role\": \"user\"}');"
)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "remove"]), st.integers(1, 3), st.sampled_from(["tea", "pie", "tea!"])
    ),
    max_size=8,
)


@pytest.mark.parametrize("reader", [Goose(), OpenCode()], ids=lambda reader: str(reader.provider))
@given(operations=OPERATIONS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_changes_in_a_session_moves_its_mark(
    tmp_path_factory: pytest.TempPathFactory, reader: Reader, operations: list[tuple[str, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("store").resolve()
    path = folder / ("sessions.db" if reader.provider == "goose" else "opencode.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(GOOSE if reader.provider == "goose" else OPENCODE)
        before = _seen(reader, path, folder)
        for clock, (what, number, words) in enumerate(operations, 10):
            _change(connection, reader, what, number, words, clock)
            after = _seen(reader, path, folder)
            assert (after[0] == before[0]) == (after[1] == before[1]), (what, number, words)
            before = after


def _change(
    connection: sqlite3.Connection, reader: Reader, what: str, number: int, words: str, clock: int
) -> None:
    goose = reader.provider == "goose"
    if what == "remove":
        where = "messages WHERE message_id = ?" if goose else "part WHERE id = ?"
        connection.execute(f"DELETE FROM {where}", (f"p{number}",))
        return
    if not goose:
        data = json.dumps({"type": "text", "text": words})
        connection.execute(
            "INSERT INTO part VALUES (?, 'm', 's', ?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data,"
            " time_updated = excluded.time_updated WHERE data != excluded.data",
            (f"p{number}", clock, data),
        )
        return
    data = json.dumps([{"type": "text", "text": words}])
    known = connection.execute("SELECT 1 FROM messages WHERE message_id = ?", (f"p{number}",)).fetchone()
    query = (
        "UPDATE messages SET content_json = ? WHERE message_id = ?"
        if known
        else "INSERT INTO messages (content_json, message_id, session_id, role) VALUES (?, ?, 's', 'user')"
    )
    connection.execute(query, (data, f"p{number}"))


def _seen(reader: Reader, path: Path, root: Path) -> tuple[str, list[Any]]:
    """The mark of the only session, and what stands in it."""
    store = reader.store_of(path, ReadRoots([root]).open)
    assert store is not None
    [listed] = store.listed()
    return listed.mark, list(store.records("s"))


# Watching


class Told:
    """A watcher of one folder, and what it told."""

    def __init__(self, reader: Reader, root: Path) -> None:
        self.files: list[FileChanged] = []
        source = Source(reader, root)
        self.watcher = Watcher(
            [source],
            ReadRoots([root]),
            self._tell,
            tenant="acme",
            host="here",
            settle=0.01,
            rescan=60,
            idle=60,
        )

    async def _tell(self, start: CaptureStart, file: FileChanged) -> None:
        self.files.append(file)

    async def look(self) -> list[str]:
        """Look at every file once; return the sessions that were told of."""
        self.files.clear()
        await self.watcher.look()
        return [file.session_id for file in self.files]


@pytest.fixture
def clock() -> Iterator[int]:
    """Times of files, each later than the one before: those of file systems are coarse."""
    return itertools.count(T * 1_000_000, 1_000_000)


def write(path: Path, content: Any, clock: Iterator[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    now = next(clock)
    os.utime(path, ns=(now, now))


@pytest.mark.parametrize("event", [False, True], ids=["at the next look", "by an event"])
async def test_what_is_written_into_opencode_s_tree_after_the_session_s_file_is_told(
    tmp_path: Path, clock: Iterator[int], event: bool
) -> None:
    root = tmp_path.resolve()
    told = Told(OpenCode(), root)
    write(root / "storage/session/p/ses_1.json", {"id": "ses_1", "time": {"updated": 5}}, clock)
    write(root / "storage/message/ses_1/msg_1.json", {"id": "msg_1", "role": "user"}, clock)
    assert await told.look() == ["ses_1"]
    assert await told.look() == []
    part = root / "storage/part/msg_1/prt_1.json"
    write(part, {"id": "prt_1", "type": "text", "text": "make tea"}, clock)
    if event:
        await told.watcher.changed([str(part)])
        assert [file.session_id for file in told.files] == ["ses_1"]
    else:
        assert await told.look() == ["ses_1"]


async def test_rows_that_are_still_beside_opencode_s_database_are_told(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    told = Told(OpenCode(), root)
    with closing(sqlite3.connect(root / "opencode.db", isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA journal_mode=WAL; {OPENCODE}")
        assert await told.look() == ["s"]
        connection.execute("INSERT INTO part VALUES ('p', 'm', 's', 1, '{\"type\": \"text\"}')")
        assert await told.look() == ["s"]
        assert await told.look() == []


async def test_only_the_chat_of_aider_that_grows_is_told(tmp_path: Path, clock: Iterator[int]) -> None:
    root = tmp_path.resolve()
    told = Told(Aider(), root)
    path = root / "repo/.aider.chat.history.md"
    chats = [f"# aider chat started at 2026-06-09 1{n}:00:00\n\n#### make tea  \nDone.\n\n" for n in range(3)]
    write(path, "".join(chats), clock)
    first = await told.look()
    assert len(set(first)) == 3
    write(path, "".join(chats) + "#### and bake  \n", clock)
    assert await told.look() == [first[-1]]
