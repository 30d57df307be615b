"""Transcripts that have lost their beginning: known by what their names tell."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest
from codex_records import FILE, META, OLDER, THREAD, event, line
from transcripts import READERS, events, parsed, story

from minoots_activities.capture.readers.identity import Identity, id_in_name

ID = "11110000-0000-4000-8000-000000000001"
PARENT = "22220000-0000-4000-8000-000000000002"
AT = "2026-07-01T10:00:00Z"
GEMINI = {"id": "m1", "timestamp": AT, "type": "user", "content": "hello"}
SAYS = {"role": "user", "message": {"content": "hello"}}
PI = {"type": "message", "id": "e1", "parentId": None, "timestamp": AT}
CASES: list[tuple[str, str, dict[str, Any], Identity | None]] = [
    ("claude", f"p/{ID}.jsonl", {"type": "summary", "summary": "Tea"}, Identity(ID)),
    ("claude", "p/copy of tea.jsonl", {"type": "summary", "summary": "Tea"}, Identity("copy of tea")),
    ("claude", "p/tea.jsonl", {"type": "file-history-snapshot", "snapshot": {}}, Identity("tea")),
    ("claude", "p/journal.jsonl", {"type": "summary", "summary": "Tea"}, None),
    ("claude", "p/other.jsonl", {"type": "journal", "key": 1}, None),
    ("codex", FILE.name, event("user_message", message="hello"), Identity(THREAD)),
    ("codex", FILE.name, line("session_meta", id=OLDER), Identity(THREAD)),
    ("codex", FILE.name, {"type": "message", "id": "msg_1", "role": "user", "content": []}, Identity(THREAD)),
    ("codex", f"{FILE.name}.zst", line("session_meta", cwd="/x"), Identity(THREAD)),
    ("codex", "notes.jsonl", {"type": "message", "id": "msg_1", "role": "user", "content": []}, None),
    ("gemini", f"chats/{PARENT}/{ID}.jsonl", GEMINI, Identity(ID, PARENT, "subagent", ID)),
    (
        "gemini",
        "chats/session-2026-04-23T12-52-0ab84937.jsonl",
        GEMINI,
        Identity("session-2026-04-23T12-52-0ab84937"),
    ),
    (
        "gemini",
        "chats/session-2026-04-23T12-52-0ab84937.json",
        {"history": []},
        Identity("session-2026-04-23T12-52-0ab84937"),
    ),
    ("gemini", "tmp/logs.json", {"history": []}, None),
    ("gemini", f"tmp/{ID}.json", {"history": []}, None),
    ("gemini", "chats/logs.jsonl", GEMINI, None),
    ("copilot", "session-state/s1/events.jsonl", {"type": "user.message", "data": {}}, Identity("s1")),
    ("copilot", f"session-state/{ID}.jsonl", {"type": "user.message", "data": {}}, Identity(ID)),
    ("copilot", "session-state/other.jsonl", {"type": "user.message", "data": {}}, None),
    ("pi", f"s/2026-07-01T10-00-00-000Z_{ID}.jsonl", PI, Identity(ID)),
    ("pi", "s/other.jsonl", PI, None),
    ("qwen", f"p/chats/{ID}.jsonl", {"type": "system", "uuid": "u"}, Identity(ID)),
    ("qwen", "p/chats/other.jsonl", {"type": "system", "uuid": "u"}, None),
    ("iflow", f"p/session-{ID}.jsonl", {"type": "user", "uuid": "u"}, Identity(f"session-{ID}")),
    ("cursor", f"agent-transcripts/{ID}/{ID}.jsonl", {"type": "turn_ended"}, Identity(ID)),
    ("goose", "20250724_1.jsonl", {"role": "user", "id": "msg1", "content": []}, Identity("20250724_1")),
    ("goose", "other.jsonl", {"role": "user", "id": "msg1", "content": []}, None),
]


@pytest.mark.parametrize(("provider", "name", "head", "whose"), CASES)
def test_a_file_without_its_head_is_known_by_its_name(
    provider: str, name: str, head: dict[str, Any], whose: Identity | None
) -> None:
    assert READERS[provider].identify(PurePath("/x") / name, head) == whose


def test_a_head_that_is_whole_says_more_than_the_name() -> None:
    meta = line("session_meta", id=THREAD, source={"subagent": "review"}, parent_thread_id=OLDER)
    assert READERS["codex"].identify(FILE, meta) == Identity(THREAD, OLDER, "review", THREAD)
    header = {"type": "session", "id": "own"}
    assert READERS["pi"].identify(PurePath(f"/x/t_{ID}.jsonl"), header) == Identity("own")


def test_what_follows_the_lost_head_is_read() -> None:
    rest = [event("user_message", message="hello"), event("agent_message", message="Hi.")]
    told = [("message.user", "hello"), ("message.assistant", "Hi.")]
    assert story(parsed("codex", rest, FILE)) == told
    assert list(events(parsed("codex", rest, FILE))) == list(events(parsed("codex", [META, *rest], FILE)))
    copied = [line("session_meta", id=OLDER), event("user_message", message="of the parent")]
    own = event("task_started", turn_id=THREAD)
    assert story(parsed("codex", [*copied, own, *rest], FILE)) == told, (
        "the head of a parent is none of its own"
    )
    assert story(parsed("cursor", [{"type": "turn_ended"}, SAYS], PurePath(f"/{ID}.jsonl"))) == told[:1]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"{ID}.jsonl", ID),
        (f"session-{ID}.jsonl", ID),
        (f"x_{ID.upper()}.jsonl", ID.upper()),
        (f"a{ID}.jsonl", None),
        (f"{ID}-1.jsonl", None),
        ("x.jsonl", None),
        (f"{'a-' * 100}{ID}.jsonl", ID),
    ],
)
def test_only_a_whole_id_is_one(name: str, found: str | None) -> None:
    assert id_in_name(PurePath("/x") / name) == found
