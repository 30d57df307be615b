"""Qwen Code's parts, and Cursor's messages without times and ids."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest
from transcripts import READERS, events, parsed, records_in, story

from minoots_activities.capture.compressed import Damaged
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.roots import ReadRoots

AT = "2026-07-01T10:00:00Z"
QWEN = PurePath("/x/.qwen/projects/p/chats/s.jsonl")
CURSOR = PurePath("/x/.cursor/projects/p/agent-transcripts/s/s.jsonl")


def qwen(number: int, kind: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"message": {"parts": list(parts)}} if parts else {}
    return (
        {"uuid": f"u{number}", "sessionId": "s", "timestamp": AT, "type": kind, "cwd": "/x"} | message | more
    )


def test_qwens_parts_become_events() -> None:
    found = parsed(
        "qwen",
        [
            qwen(1, "user", {"text": "<system-reminder>x</system-reminder>"}, {"text": "list"}),
            qwen(
                2,
                "assistant",
                {"text": "Where?", "thought": True},
                {"text": "Here."},
                {"functionCall": {"id": "c1", "name": "ls", "args": {"path": "."}}},
                model="qwen-x",
                usageMetadata={
                    "promptTokenCount": 100,
                    "cachedContentTokenCount": 40,
                    "candidatesTokenCount": 7,
                    "thoughtsTokenCount": 3,
                },
            ),
            qwen(
                3,
                "tool_result",
                {"functionResponse": {"id": "c1", "name": "ls", "response": {"error": "no"}}},
            ),
            qwen(4, "system", subtype="chat_compression", systemPayload={}),
            qwen(
                5,
                "system",
                subtype="slash_command",
                systemPayload={"phase": "invocation", "rawCommand": "/x"},
            ),
            qwen(6, "system", subtype="ui_telemetry", systemPayload={"uiEvent": {}}),
            qwen(7, "novelty"),
        ],
        QWEN,
    )
    assert story(found) == [
        ("message.user", "list"),
        ("thinking", "Where?"),
        ("message.assistant", "Here."),
        ("tool.call", "c1"),
        ("tool.result", "c1"),
        ("compaction", ""),
        ("message.system", "/x"),
    ]
    usage = next(event.tokens for event in events(found).values() if event.kind == "usage")
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.output, usage.thinking) == (60, 40, 10, 3)
    result = next(event.tool for event in events(found).values() if event.kind == "tool.result")
    assert result is not None
    assert (result.output, result.is_error) == ("no", True)
    assert dict(found.unknown) == {"novelty": 1}
    assert found.facts == {"cwd": "/x", "model": "qwen-x"}


def test_qwen_s_titles_and_steps_back_are_told() -> None:
    found = parsed(
        "qwen",
        [
            qwen(1, "user", {"text": "hello"}),
            qwen(2, "system", subtype="custom_title", systemPayload={"customTitle": " Tea "}),
            qwen(3, "system", subtype="rewind", parentUuid="u1", systemPayload={"truncatedCount": 2}),
        ],
        QWEN,
    )
    assert story(found) == [("message.user", "hello"), ("title", "Tea"), ("rewind", "")]
    assert [event.details for event in events(found).values()][-1] == {"message_id": "u1"}


def test_qwen_s_conversations_of_before_are_read_as_a_whole(tmp_path: Path) -> None:
    reader = READERS["qwen"]
    path = tmp_path.resolve() / "tmp/abc/chats/session-2025-10-05T10-00-abcdef12.json"
    path.parent.mkdir(parents=True)
    messages = [
        {"id": "m1", "timestamp": AT, "type": "user", "content": "hello"},
        {"id": "m2", "timestamp": AT, "type": "qwen", "content": "Hi.", "model": "qwen-x"},
    ]
    path.write_text(json.dumps({"sessionId": "s", "projectHash": "abc", "messages": messages}))
    assert reader.holds(str(path))
    for other in ("logs.json", "chats/s.ledger.jsonl", "chats/s.worktree.json", "checkpoint-a.json"):
        assert not reader.holds(str(path.parent.parent / other))
    store = reader.store_of(path, ReadRoots([tmp_path.resolve()]).open)
    assert store is not None
    [listed] = store.listed()
    told = Parsed()
    reader.parser(listed.identity).feed(list(store.records("s")), told)
    assert story(told) == [("message.user", "hello"), ("message.assistant", "Hi.")]
    assert told.facts == {"model": "qwen-x"}
    path.write_text('{"sessionId": "s", "mess')
    with pytest.raises(Damaged):
        list(store.listed())
    path.write_text("{}")
    assert list(store.listed()) == []


def test_qwens_real_records_are_understood(samples: Path) -> None:
    path = samples / "qwen" / "system_telemetry.jsonl"
    found = parsed("qwen", records_in(path), path)
    assert not found.unknown
    assert {"tool.call", "tool.result", "message.assistant"} <= {
        event.kind for event in events(found).values()
    }


def says(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "message": {"content": [{"type": "text", "text": text}]}}


def test_the_same_words_twice_are_two_events_with_the_same_ids_wherever_the_file_is() -> None:
    records = [
        says("user", "go on"),
        says("assistant", "Done."),
        says("user", "go on"),
        says("assistant", "Done."),
    ]
    once = parsed("cursor", records, CURSOR)
    assert len(events(once)) == 4
    assert list(events(parsed("cursor", records, CURSOR, 1, 3))) == list(events(once))
    moved = parsed("cursor", records, PurePath("/elsewhere") / CURSOR.name)
    assert list(events(moved)) == list(events(once))
    assert all(event.ts is None and event.ts_source == "none" for event in events(once).values())


def test_two_conversations_may_begin_with_the_same_words() -> None:
    other = PurePath("/x/agent-transcripts/t/t.jsonl")
    first, second = (events(parsed("cursor", [says("user", "::record-notes")], at)) for at in (CURSOR, other))
    assert not first.keys() & second.keys()


def test_a_result_in_cursor_is_that_of_the_first_call_without_one() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"type": "tool_use", "name": name, "input": {}}

    def result(name: str) -> dict[str, Any]:
        content = [{"type": "text", "text": name}]
        return {"type": "tool_result", "tool_use_id": f"t{name}", "content": content, "is_error": name == "b"}

    records = [
        {"role": "assistant", "message": {"content": [call("a"), call("b")]}},
        {"role": "user", "message": {"content": [result("a"), result("b"), {"type": "tool-result"}]}},
    ]
    for cut in (0, 1):
        tools = [
            event.tool for event in events(parsed("cursor", records, CURSOR, cut)).values() if event.tool
        ]
        a, b, of_a, of_b, alone = tools
        assert (a.call_id, b.call_id) == (of_a.call_id, of_b.call_id)
        assert [(one.output, one.is_error) for one in (of_a, of_b)] == [("a", False), ("b", True)]
        assert alone.call_id not in (a.call_id, b.call_id)


def test_a_sub_agent_of_cursor_knows_its_parent() -> None:
    path = PurePath("/x/.cursor/projects/p/agent-transcripts/s/subagents/a.jsonl")
    identity = READERS["cursor"].identify(path, says("user", "x"))
    assert identity is not None
    assert (identity.session_id, identity.parent_id, identity.relation) == ("a", "s", "subagent")


def test_cursors_real_records_are_understood_and_unknown_blocks_stay_readable(samples: Path) -> None:
    path = samples / "cursor" / "agent_transcript_schema_drift.jsonl"
    found = parsed("cursor", records_in(path), path)
    texts = [text for _, text in story(found)]
    assert "Cursor added an unknown block with visible text." in texts
    assert not parsed("cursor", records_in(samples / "cursor" / "agent_transcript_small.jsonl"), path).unknown
