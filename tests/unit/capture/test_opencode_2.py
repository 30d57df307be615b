"""OpenCode's database of version 2: other tables, beside those of version 1 or without them."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from transcripts import events, story

from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots_activities.capture.compressed import Damaged
from minoots_activities.capture.readers import Identity, Parsed
from minoots_activities.capture.readers.opencode import OpenCode
from minoots_activities.capture.readers.store import Listed, Store
from minoots_activities.capture.roots import ReadRoots

T = 1_784_000_000_000
OLD = """
CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, directory TEXT, title TEXT, version TEXT,
  time_updated INT);
CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INT, time_updated INT, data TEXT);
CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_updated INT, data TEXT);
"""
NEW = """
CREATE TABLE session_v2 (id TEXT PRIMARY KEY, parent_id TEXT, fork_session_id TEXT, directory TEXT,
  title TEXT, version TEXT, time_updated INT);
CREATE TABLE session_message (id TEXT PRIMARY KEY, session_id TEXT, type TEXT, seq INT, time_created INT,
  time_updated INT, data TEXT);
"""
CONTENT = [
    {"type": "reasoning", "text": "hm"},
    {
        "type": "tool",
        "id": "c1",
        "name": "bash",
        "state": {
            "status": "completed",
            "input": {"command": "ls"},
            "content": [{"type": "text", "text": "tea.txt"}, {"type": "file", "uri": "x"}],
        },
        "time": {"created": T + 1500},
    },
    {"type": "text", "text": "done"},
]
ANSWER = {
    "model": {"id": "gpt-x", "providerID": "p"},
    "content": CONTENT,
    "tokens": {"input": 120, "output": 16, "reasoning": 3, "cache": {"read": 7, "write": 1}},
}
TOLD = [
    ("title", "Tea"),
    ("message.user", "make tea"),
    ("thinking", "hm"),
    ("tool.call", "c1"),
    ("tool.result", "c1"),
    ("message.assistant", "done"),
]


class Base:
    """A database, what is written into it, and what is read from it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self._rows = 0

    def store(self) -> Store:
        store = OpenCode().store_of(self.path, ReadRoots([self.path.parent]).open)
        assert store is not None
        return store

    def session(self, table: str = "session_v2", name: str = "ses_1", **more: Any) -> None:
        values = {"id": name, "directory": "/w", "title": "Tea", "version": "2.0", "time_updated": 5} | more
        self._insert(table, values)

    def new(self, kind: str, data: Mapping[str, Any], session: str = "ses_1", name: str = "") -> str:
        self._rows += 1
        name = name or f"msg_{self._rows}"
        at = T + self._rows * 1000
        values = {
            "id": name,
            "session_id": session,
            "type": kind,
            "seq": self._rows,
            "data": json.dumps(data),
        }
        self._insert("session_message", values | {"time_created": at, "time_updated": at})
        return name

    def old(self, name: str, role: str, parts: list[dict[str, Any]], session: str = "ses_1") -> None:
        self._rows += 1
        at = T + self._rows * 1000
        data = json.dumps({"role": role, "time": {"created": at}})
        values = {"id": name, "session_id": session, "time_created": at, "time_updated": at, "data": data}
        self._insert("message", values)
        for number, part in enumerate(parts):
            values = {"id": f"prt_{name}_{number}", "message_id": name, "session_id": session}
            self._insert("part", values | {"time_updated": at, "data": json.dumps(part)})

    def listed(self) -> dict[str, Listed]:
        return {one.identity.session_id: one for one in self.store().listed()}

    def read(self, session: str = "ses_1") -> Parsed:
        told = Parsed()
        parser = OpenCode().parser(self.listed()[session].identity)
        parser.feed(list(self.store().records(session)), told)
        return told

    def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Base]:
    path = tmp_path.resolve() / "opencode.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield Base(path, connection)


@pytest.mark.parametrize("sessions", ["session_v2", "session"])
def test_a_session_of_version_2_is_told_as_one_of_version_1(base: Base, sessions: str) -> None:
    base.connection.executescript(NEW + ("" if sessions == "session_v2" else OLD))
    base.session(sessions)
    base.new("user", {"text": "make tea", "time": {"created": T}})
    base.new("assistant", ANSWER)
    found = base.read()
    assert story(found) == TOLD
    assert found.facts == {"cwd": "/w", "version": "2.0", "model": "gpt-x"}
    by_kind = {event.kind: event for event in events(found).values()}
    tool, tokens = by_kind[Kind.TOOL_RESULT].tool, by_kind[Kind.USAGE].tokens
    assert tool is not None
    assert (tool.name, tool.output, tool.is_error) == ("bash", "tea.txt", False)
    assert tokens is not None
    assert (tokens.input, tokens.output, tokens.cache_read) == (120, 16, 7)
    assert by_kind[Kind.USER].ts is not None
    assert by_kind[Kind.USER].ts.timestamp() * 1000 == T
    assert not found.unknown


def test_everything_else_of_version_2_is_told_as_what_it_is(base: Base) -> None:
    base.connection.executescript(NEW)
    base.session()
    image = {"uri": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode(), "mime": "image/png"}
    base.new("synthetic", {"text": "::record-a"})
    base.new("system", {"text": "::record-b"})
    base.new("skill", {"skill": "s", "name": "tea", "text": "::record-c"})
    base.new("shell", {"command": "ls", "output": "::record-d"})
    base.new("user", {"text": "see", "files": [image]})
    base.new("compaction", {"status": "completed", "summary": "They made tea."})
    base.new("compaction", {"status": "running", "summary": "They"})
    base.new("model-switched", {"model": {"id": "m-2"}})
    base.new("location-switched", {"location": {"directory": "/elsewhere"}})
    base.new("idle", {"outcome": "succeeded"})
    base.new("assistant", {"content": [], "error": {"type": "aborted", "message": "stopped"}})
    base.new("novelty", {"text": "?"})
    found = base.read()
    told = list(events(found).values())
    assert [(event.kind, event.text, event.injected) for event in told[1:]] == [
        (Kind.SYSTEM, "::record-a", True),
        (Kind.SYSTEM, "::record-b", True),
        (Kind.SYSTEM, "::record-c", True),
        (Kind.SYSTEM, "$ ls\n::record-d", True),
        (Kind.USER, "see", False),
        (Kind.USER, "", False),
        (Kind.COMPACTION, "They made tea.", False),
        (Kind.ERROR, "stopped", False),
    ]
    assert [one.media_type for event in told for one in event.enclosed] == ["image/png"]
    assert found.unknown == {"part message novelty": 1}
    assert (found.facts["model"], found.facts["cwd"]) == ("m-2", "/elsewhere")


def test_a_session_in_both_is_read_from_the_newer_and_what_was_known_stays_the_same(base: Base) -> None:
    base.connection.executescript(OLD)
    base.session("session")
    base.session("session", "ses_2")
    base.old("msg_a", "user", [{"type": "text", "text": "make tea"}])
    call = {"type": "tool", "callID": "c1", "tool": "bash"}
    state = {"status": "completed", "input": {"command": "ls"}, "output": "tea.txt"}
    done = {"type": "text", "text": "done", "time": {"start": T + 9000}}
    base.old("msg_b", "assistant", [{"type": "reasoning", "text": "hm"}, call | {"state": state}, done])
    base.old("msg_c", "user", [{"type": "text", "text": "of the second"}], "ses_2")
    before, marks = base.read(), {name: one.mark for name, one in base.listed().items()}
    base.connection.executescript(NEW)
    base.session("session_v2")
    for name, kind, data in (
        ("msg_a", "user", {"text": "make tea", "time": {"created": T + 1000}}),
        ("msg_b", "assistant", {"content": CONTENT, "time": {"created": T + 2000}}),
        ("msg_d", "user", {"text": "more tea", "time": {"created": T + 9000}}),
    ):
        base.new(kind, data, name=name)
    after = events(base.read())
    told = {key: event.model_dump(exclude={"details"}) for key, event in after.items()}
    known = {key: event.model_dump(exclude={"details"}) for key, event in events(before).items()}
    assert {key: told[key] for key in known} == known
    assert [event.text for key, event in after.items() if key not in known] == ["more tea"]
    assert story(base.read("ses_2")) == [("title", "Tea"), ("message.user", "of the second")]
    now = {name: one.mark for name, one in base.listed().items()}
    assert (now["ses_1"] == marks["ses_1"], now["ses_2"] == marks["ses_2"]) == (False, True)
    base.old("msg_e", "user", [{"type": "text", "text": "nobody reads this"}])
    assert {name: one.mark for name, one in base.listed().items()} == now
    base.new("user", {"text": "and more"})
    assert base.listed()["ses_1"].mark != now["ses_1"]


def test_a_row_that_is_updated_in_place_moves_the_mark(base: Base) -> None:
    base.connection.executescript(NEW)
    base.session()
    name = base.new("assistant", {"content": [{"type": "text", "text": "do"}]})
    before, first = base.listed()["ses_1"].mark, base.read()
    base.connection.execute(
        "UPDATE session_message SET data = ?, time_updated = time_updated + 1 WHERE id = ?",
        (json.dumps({"content": [{"type": "text", "text": "done"}]}), name),
    )
    assert base.listed()["ses_1"].mark != before
    assert list(events(base.read())) == list(events(first)), "the same, revised"


def test_whose_a_session_is(base: Base) -> None:
    base.connection.executescript(NEW)
    base.session(name="ses_1")
    base.session(name="ses_2", parent_id="ses_1")
    base.session(name="ses_3", fork_session_id="ses_1")
    assert [one.identity for one in base.listed().values()] == [
        Identity("ses_1"),
        Identity("ses_2", "ses_1", "subagent"),
        Identity("ses_3", "ses_1", "fork"),
    ]
    assert story(base.read("ses_3")) == [("title", "Tea")], "nothing was said in it yet"


@pytest.mark.parametrize("data", ["", "[]", "7", "{", '{"content": 7, "files": [7], "model": 7, "time": 7}'])
@pytest.mark.parametrize("kind", ["user", "assistant", "shell", "compaction", "location-switched", "", "x"])
def test_odd_rows_stop_nobody(base: Base, kind: str, data: str) -> None:
    base.connection.executescript(NEW)
    base.session()
    base.new(kind, {})
    base.connection.execute("UPDATE session_message SET data = ?", (data,))
    base.new("user", {"text": "still here"})
    assert story(base.read())[-1] == ("message.user", "still here")


def test_a_database_with_neither_is_damaged(base: Base) -> None:
    base.connection.executescript("CREATE TABLE others (id TEXT)")
    with pytest.raises(Damaged, match="session_v2"):
        list(base.store().listed())
