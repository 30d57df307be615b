"""Copilot's events: calls and thoughts that come twice, sub-agents, resumes."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest
from transcripts import READERS, events, parsed, records_in, story

from minoots_activities.capture.compressed import Damaged
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.roots import ReadRoots

FILE = PurePath("/x/.copilot/session-state/s1/events.jsonl")


def one(kind: str, number: int, **data: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"e{number}", "timestamp": f"2026-07-01T10:00:{number:02}Z", "data": data}


START = one("session.start", 0, sessionId="s1", copilotVersion="1.0", context={"cwd": "/x", "branch": "main"})
ASKED = one(
    "assistant.message",
    3,
    content="Listing.",
    messageId="m1",
    model="gpt-x",
    outputTokens=12,
    reasoningText="Which folder?",
    toolRequests=[{"toolCallId": "c1", "name": "shell", "arguments": json.dumps({"command": "ls"})}],
)
RECORDS = [
    START,
    one("user.message", 1, content="List the files"),
    one("assistant.reasoning", 2, content="Which folder?"),
    ASKED,
    one("tool.execution_start", 4, toolCallId="c1", toolName="shell", arguments={"command": "ls"}),
    one("tool.execution_complete", 5, toolCallId="c1", success=True, result={"content": "a.txt"}),
]


def test_calls_and_thoughts_that_come_twice_are_told_once() -> None:
    for cut in range(len(RECORDS)):
        found = parsed("copilot", RECORDS, FILE, cut)
        assert story(found) == [
            ("message.user", "List the files"),
            ("thinking", "Which folder?"),
            ("message.assistant", "Listing."),
            ("tool.call", "c1"),
            ("tool.result", "c1"),
        ]
        assert len(found.drafts) == len(events(found))
        assert found.facts == {"cwd": "/x", "branch": "main", "version": "1.0", "model": "gpt-x"}
        call, usage = (next(e for e in events(found).values() if e.kind == k) for k in ("tool.call", "usage"))
        assert call.tool is not None
        assert call.tool.input == {"command": "ls"}
        assert usage.tokens is not None
        assert (usage.tokens.input, usage.tokens.output) == (None, 12)


def test_a_call_that_nobody_announced_is_told_when_it_begins_and_what_fails_says_so() -> None:
    found = parsed(
        "copilot",
        [
            START,
            one("tool.execution_start", 1, toolCallId="c2", toolName="bash", arguments={}),
            one("tool.execution_complete", 2, toolCallId="c2", success=False, error={"message": "denied"}),
            one("session.error", 3, message="no model"),
        ],
        FILE,
    )
    assert story(found) == [("tool.call", "c2"), ("tool.result", "c2"), ("error", "no model")]
    result = next(e for e in events(found).values() if e.kind == "tool.result")
    assert result.tool is not None
    assert (result.tool.output, result.tool.is_error) == ("denied", True)


def test_what_a_sub_agent_does_is_its_own() -> None:
    begun = one("tool.execution_start", 1, toolCallId="c3", toolName="ls", parentToolCallId="task")
    found = parsed("copilot", [START, begun], FILE)
    assert [event.agent_id for event in events(found).values()] == ["task"]


def test_a_file_says_whose_it_is_by_its_first_event_or_by_its_folder() -> None:
    reader = READERS["copilot"]
    moved = reader.identify(PurePath("/backup/copy.jsonl"), START)
    assert moved is not None
    assert moved.session_id == "s1"
    torn = reader.identify(FILE, one("user.message", 1, content="hello"))
    assert torn is not None
    assert torn.session_id == "s1"
    assert reader.identify(PurePath("/x/workspace.yaml"), START) is None


def test_a_real_conversation_is_read(samples: Path) -> None:
    path = samples / "copilot" / "fixture_small.jsonl"
    found = parsed("copilot", records_in(path), path)
    assert story(found)[:8] == [
        ("message.system", "Folder /tmp/repo has been added to trusted folders."),
        ("error", "Example model error"),
        ("message.system", "[trimmed for fixture]"),
        ("message.user", "List the files"),
        ("message.assistant", "Listing the files."),
        ("tool.call", "call-1"),
        ("tool.result", "call-1"),
        ("message.assistant", "Done"),
    ]
    assert not found.unknown


def timeline(tmp_path: Path, *entries: dict[str, Any], **more: Any) -> Path:
    path = tmp_path / "history-session-state" / "session_s1.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"sessionId": "s1", "timeline": entries, **more}))
    return path


def of_store(path: Path) -> dict[str, Parsed]:
    reader = READERS["copilot"]
    store = reader.store_of(path, ReadRoots([path.parent]).open)
    assert store is not None
    found = {}
    for listed in store.listed():
        found[listed.identity.session_id] = together = Parsed()
        reader.parser(listed.identity).feed(store.records(listed.identity.session_id), together)
    return found


def test_a_session_of_before_is_read_as_one_of_today(tmp_path: Path) -> None:
    at = {"timestamp": "2025-10-11T12:54:53.532Z"}
    begun = {
        "type": "tool_call_requested",
        "id": "e3",
        "callId": "c1",
        "name": "shell",
        "arguments": {"a": 1},
    }
    ended = {**begun, "type": "tool_call_completed", "result": {"type": "failure", "log": "no such file"}}
    path = timeline(
        tmp_path,
        {"type": "info", "id": "e0", "text": "Logged in", **at},
        {"type": "user", "id": "e1", "text": "List the files", **at},
        {"type": "copilot", "id": "e2", "text": "Listing.", **at},
        {**begun, **at},
        {**ended, **at},
        {"type": "error", "id": "e4", "text": "overloaded", **at},
        {"type": "of_tomorrow", "id": "e5", **at},
    )
    found = of_store(path)["s1"]
    assert story(found) == [
        ("message.system", "Logged in"),
        ("message.user", "List the files"),
        ("message.assistant", "Listing."),
        ("tool.call", "c1"),
        ("tool.result", "c1"),
        ("error", "overloaded"),
    ]
    (result,) = (event.tool for event in events(found).values() if event.kind == "tool.result")
    assert result is not None
    assert (result.output, result.is_error) == ("no such file", True)
    assert found.unknown == {"of_tomorrow": 1}


def test_a_session_of_before_that_is_half_written_is_damaged_and_one_without_a_name_is_none(
    tmp_path: Path,
) -> None:
    path = timeline(tmp_path, {"type": "user", "id": "e1", "text": "x"})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Damaged, match=r"session_s1\.json is no JSON of a session"):
        of_store(path)
    assert of_store(timeline(tmp_path, sessionId=3)) == {}


def test_entries_without_ids_and_values_that_nothing_holds_are_kept(tmp_path: Path) -> None:
    path = timeline(tmp_path, *({"type": "user", "text": text} for text in "ab"))
    text = path.read_text().replace('"a"', '"a", "x": ' + "9" * 5000)
    path.write_text(text)
    assert story(of_store(path)["s1"]) == [("message.user", "a"), ("message.user", "b")]


def test_other_json_of_the_program_is_left_alone() -> None:
    holds = READERS["copilot"].holds
    assert holds("/x/.copilot/history-session-state/session_s1.json")
    assert holds("/x/.copilot/session-state/s1/events.jsonl")
    assert not holds("/x/.copilot/session-state/s1/workspace.json")


def test_a_real_session_of_before_is_understood(samples: Path) -> None:
    found = of_store(samples / "copilot" / "legacy_timeline.json")["0b2a81da-02cf-4cbb-ae14-07c597b84f4e"]
    kinds = [event.kind.value for event in events(found).values()]
    assert found.unknown.total() == 0
    assert kinds.count("tool.call") == kinds.count("tool.result") == 15
    assert (kinds.count("message.user"), kinds.count("message.assistant")) == (1, 5)
