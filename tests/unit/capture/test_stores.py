"""Goose, OpenCode and Aider: programs that keep several sessions in one place."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import pytest
from transcripts import parsed, story

from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots_activities.capture.compressed import Damaged
from minoots_activities.capture.readers import Parsed, Reader
from minoots_activities.capture.readers import sqlite as sqlite_module
from minoots_activities.capture.readers.aider import Aider
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.opencode import OpenCode
from minoots_activities.capture.readers.store import Store
from minoots_activities.capture.roots import ReadDenied, ReadRoots


def opener(folder: Path) -> Callable[[Path], BinaryIO]:
    """Open what is below a folder."""
    return ReadRoots([folder]).open


def store_in(reader: Reader, path: Path, root: Path | None = None) -> Store:
    store = reader.store_of(path, opener(root or path.parent))
    assert store is not None
    return store


def read(reader: Reader, store: Store) -> dict[str, Parsed]:
    """Everything in a store, by session."""
    found = {}
    for listed in store.listed():
        parsed = Parsed()
        reader.parser(listed.identity).feed(list(store.records(listed.identity.session_id)), parsed)
        assert parsed.unknown.total() == 0, parsed.unknown
        found[listed.identity.session_id] = parsed
    return found


# Goose

GOOSE = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, name TEXT, description TEXT, working_dir TEXT, updated_at TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY, message_id TEXT, session_id TEXT, role TEXT,
  content_json TEXT, created_timestamp INTEGER);
"""


def goose(path: Path, *messages: tuple[str, list[Any]], session: str = "s1") -> None:
    """Write messages into Goose's database."""
    with sqlite3.connect(path) as database:
        if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
            database.executescript(GOOSE)
        database.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, 'tea', 'Making tea', '/w', 'now')", [session]
        )
        for role, content in messages:
            number = database.execute("SELECT count(*) FROM messages").fetchone()[0]
            values = [f"m{number}", session, role, json.dumps(content), 1_784_000_000 + number]
            database.execute(
                "INSERT INTO messages (message_id, session_id, role, content_json, created_timestamp) "
                "VALUES (?, ?, ?, ?, ?)",
                values,
            )
    database.close()


CALL = {
    "type": "toolRequest",
    "id": "c1",
    "toolCall": {"status": "success", "value": {"name": "shell", "arguments": {"command": "ls"}}},
}
RESULT = {
    "type": "toolResponse",
    "id": "c1",
    "toolResult": {"status": "success", "value": [{"type": "text", "text": "tea.txt"}]},
}


def test_goose_s_database_tells_what_was_said_and_done(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    goose(path, ("user", [{"type": "text", "text": "make tea"}]), ("assistant", [CALL]), ("user", [RESULT]))
    [(session, found)] = read(Goose(), store_in(Goose(), path)).items()
    assert session == "s1"
    assert found.facts == {"cwd": "/w"}
    assert story(found) == [
        ("title", "Making tea"),
        ("message.user", "make tea"),
        ("tool.call", "c1"),
        ("tool.result", "c1"),
    ]
    assert found.drafts[-1].event.tool is not None
    assert found.drafts[-1].event.tool.output == "tea.txt"
    assert found.drafts[1].event.ts is not None


def test_the_mark_of_a_session_moves_when_and_only_when_it_does(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    goose(path, ("user", [{"type": "text", "text": "a"}]))
    goose(path, ("user", [{"type": "text", "text": "b"}]), session="s2")
    before = {one.identity.session_id: one.mark for one in store_in(Goose(), path).listed()}
    assert before == {one.identity.session_id: one.mark for one in store_in(Goose(), path).listed()}
    goose(path, ("assistant", [{"type": "text", "text": "c"}]), session="s2")
    after = {one.identity.session_id: one.mark for one in store_in(Goose(), path).listed()}
    assert (after["s1"] == before["s1"], after["s2"] == before["s2"]) == (True, False)


def test_goose_s_older_files_are_read_by_lines() -> None:
    records = [
        {"id": "20250724_1", "working_dir": "/w", "description": "Tea", "message_count": 2},
        {"role": "user", "created": 1_784_000_000, "content": [{"type": "text", "text": "hello"}]},
        {"role": "assistant", "created": 1_784_000_001, "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "created": 1_784_000_001, "content": [{"type": "text", "text": "hi"}]},
    ]
    told = [("title", "Tea"), ("message.user", "hello"), *[("message.assistant", "hi")] * 2]
    for cuts in ((), (1,), (2, 3)):
        assert story(parsed("goose", records, PurePath("20250724_1.jsonl"), *cuts)) == told


def test_a_database_is_never_made_nor_written_to(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(store_in(Goose(), tmp_path / "sessions.db").listed())
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    path.write_text("not a database, but long enough to be one")
    with pytest.raises(Damaged, match="no database"):
        list(store_in(Goose(), path).listed())
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE others (id TEXT)")
    database.close()
    with pytest.raises(Damaged, match="sessions"):
        list(store_in(Goose(), path).listed())


def test_a_database_that_answers_with_more_than_memory_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sessions.db"
    goose(path, *(("user", [{"type": "text", "text": "tea " * 100}]) for _ in range(9)))
    monkeypatch.setattr(sqlite_module, "MOST", 3000)
    [listed] = store_in(Goose(), path).listed()
    with pytest.raises(Damaged, match="more than 3000 characters"):
        list(store_in(Goose(), path).records(listed.identity.session_id))


def test_a_database_outside_of_the_roots_is_not_opened(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    goose(outside / "sessions.db", ("user", [{"type": "text", "text": "secret"}]))
    (inside / "sessions.db").symlink_to(outside / "sessions.db")
    with pytest.raises(ReadDenied):
        list(store_in(Goose(), inside / "sessions.db").listed())


# OpenCode

SESSION = {"id": "ses_1", "directory": "/w", "title": "Tea", "version": "1.3", "time": {"updated": 5}}
ASKED = {"id": "msg_1", "role": "user", "time": {"created": 1_730_000_000_000}}
ANSWERED = {
    "id": "msg_2",
    "role": "assistant",
    "modelID": "gpt-x",
    "time": {"created": 1_730_000_001_000},
    "tokens": {"input": 120, "output": 16, "reasoning": 3, "cache": {"read": 7, "write": 1}},
}
PARTS: Mapping[str, list[dict[str, Any]]] = {
    "msg_1": [{"id": "prt_1", "type": "text", "text": "make tea"}],
    "msg_2": [
        {"id": "prt_2", "type": "step-start"},
        {"id": "prt_3", "type": "reasoning", "text": "hm"},
        {
            "id": "prt_4",
            "type": "tool",
            "callID": "c1",
            "tool": "bash",
            "state": {"status": "completed", "input": {"command": "ls"}, "output": "tea.txt"},
        },
        {"id": "prt_5", "type": "text", "text": "done"},
    ],
}
TOLD = [
    ("title", "Tea"),
    ("message.user", "make tea"),
    ("thinking", "hm"),
    ("tool.call", "c1"),
    ("tool.result", "c1"),
    ("message.assistant", "done"),
]


def tree(storage: Path) -> Path:
    """Write a session as older versions do; return its file."""
    files: dict[str, Any] = {"session/p/ses_1.json": SESSION}
    files |= {f"message/ses_1/{one['id']}.json": one for one in (ASKED, ANSWERED)}
    files |= {f"part/{name}/{part['id']}.json": part for name, parts in PARTS.items() for part in parts}
    for name, content in files.items():
        (storage / name).parent.mkdir(parents=True, exist_ok=True)
        (storage / name).write_text(json.dumps(content))
    return storage / "session/p/ses_1.json"


def database(path: Path) -> Path:
    """Write the same session as newer versions do."""
    with sqlite3.connect(path) as written:
        written.executescript(
            "CREATE TABLE session (id TEXT, parent_id TEXT, directory TEXT, title TEXT, version TEXT,"
            " time_updated INT);"
            "CREATE TABLE message (id TEXT, session_id TEXT, time_created INT, data TEXT);"
            " CREATE TABLE part (id TEXT, message_id TEXT, data TEXT);"
        )
        written.execute("INSERT INTO session VALUES ('ses_1', NULL, '/w', 'Tea', '1.3', 5)")
        for one in (ASKED, ANSWERED):
            data = {key: value for key, value in one.items() if key != "id"}
            created: Any = one["time"]
            values = [one["id"], "ses_1", created["created"], json.dumps(data)]
            written.execute("INSERT INTO message VALUES (?, ?, ?, ?)", values)
        for name, parts in PARTS.items():
            for part in parts:
                data = {key: value for key, value in part.items() if key != "id"}
                written.execute("INSERT INTO part VALUES (?, ?, ?)", [part["id"], name, json.dumps(data)])
    written.close()
    return path


def test_opencode_s_tree_and_database_tell_the_same(tmp_path: Path) -> None:
    old = read(OpenCode(), store_in(OpenCode(), tree(tmp_path / "storage"), tmp_path))["ses_1"]
    new = read(OpenCode(), store_in(OpenCode(), database(tmp_path / "opencode.db")))["ses_1"]
    assert story(old) == story(new) == TOLD
    assert [draft.event.id for draft in old.drafts] == [draft.event.id for draft in new.drafts], "kept once"
    call = next(draft.event for draft in new.drafts if draft.event.kind is Kind.TOOL_CALL)
    assert call.model == "gpt-x", "whoever calls before a word is said has a name"
    usage = next(draft.event.tokens for draft in new.drafts if draft.event.kind is Kind.USAGE)
    assert usage is not None
    assert (usage.input, usage.output, usage.thinking, usage.cache_read, usage.cache_write) == (
        120, 16, 3, 7, 1,
    )  # fmt: skip
    assert new.facts == {"cwd": "/w", "version": "1.3", "model": "gpt-x"}


def test_a_part_that_changes_moves_the_mark(tmp_path: Path) -> None:
    path = tree(tmp_path / "storage")
    [before] = store_in(OpenCode(), path, tmp_path).listed()
    part = tmp_path / "storage/part/msg_2/prt_5.json"
    part.write_text(json.dumps(PARTS["msg_2"][3] | {"text": "done, and more"}))
    [after] = store_in(OpenCode(), path, tmp_path).listed()
    assert before.mark != after.mark


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("opencode.db", True),
        ("opencode-dev.db", True),
        ("storage/session/p/ses_1.json", True),
        ("storage/message/ses_1/msg_1.json", False),
        ("storage/part/msg_1/prt_1.json", False),
        ("auth.json", False),
        ("other.db", False),
    ],
)
def test_opencode_s_files_are_known_by_their_names(name: str, held: bool) -> None:
    assert OpenCode().holds(f"/home/ada/.local/share/opencode/{name}") is held


def test_an_id_leads_to_no_other_folder(tmp_path: Path) -> None:
    path = tree(tmp_path / "storage")
    path.write_text(json.dumps(SESSION | {"id": "../../secret"}))
    assert list(store_in(OpenCode(), path, tmp_path).listed()) == []


# Aider

CHATS = """
# aider chat started at 2026-06-09 14:01:00

> Aider v0.86
#### add a retry  
Here is the plan:

#### Step 1
Wrap it:

```
#### no user
# aider is no chat either
```

> Applied edit to a.py

# aider chat started at 2026-06-09 15:30:00

#### make tea  
#### with milk  
Done.

# aider chat started at 2026-06-09 16:00:00
"""


def test_aider_s_file_is_divided_into_chats(tmp_path: Path) -> None:
    path = tmp_path / ".aider.chat.history.md"
    path.write_text(CHATS)
    first, second = read(Aider(), store_in(Aider(), path)).values()
    assert story(first) == [
        ("message.system", "Aider v0.86"),
        ("message.user", "add a retry"),
        (
            "message.assistant",
            "Here is the plan:\n\n#### Step 1\nWrap it:\n\n```\n#### no user\n# aider is no chat either\n```",
        ),
        ("message.system", "Applied edit to a.py"),
    ]
    assert story(second) == [("message.user", "make tea\nwith milk"), ("message.assistant", "Done.")]
    assert all(draft.event.ts is None for draft in first.drafts), "no time is made up"


def test_a_chat_of_aider_is_the_same_wherever_its_file_is(tmp_path: Path) -> None:
    ids = []
    for folder in ("a", "b"):
        path = tmp_path / folder / ".aider.chat.history.md"
        path.parent.mkdir()
        path.write_text(CHATS)
        ids.append([one.identity.session_id for one in store_in(Aider(), path).listed()])
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2, "one in which nothing was said is none"


def test_the_samples_are_understood(samples: Path, tmp_path: Path) -> None:
    def dumped(name: str, to: str) -> Path:
        with sqlite3.connect(tmp_path / to) as written:
            written.executescript((samples / name).read_text())
        written.close()
        return tmp_path / to

    for reader, path, count in (
        (Goose(), dumped("goose/sessions_db.sql", "sessions.db"), 2),
        (OpenCode(), dumped("opencode/opencode_db_v1.sql", "opencode.db"), 2),
        (Aider(), samples / "aider" / ".aider.chat.history.md", 5),
    ):
        found = read(reader, store_in(reader, path))
        said = [draft for one in found.values() for draft in one.drafts if draft.event.kind != "title"]
        assert len(said) >= count, path
    session = next((samples / "opencode").rglob("ses_*.json"))
    assert len(read(OpenCode(), store_in(OpenCode(), session, samples))) == 1
