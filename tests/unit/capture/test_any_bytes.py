"""Whatever bytes stand in a transcript: reading never fails, and what comes of it can be kept."""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import READERS

from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture.compressed import Damaged, expanded
from minoots_activities.capture.lines import lines_from
from minoots_activities.capture.parts import beginning_of
from minoots_activities.capture.readers import Parsed, Reader
from minoots_activities.capture.readers.gemini import records_of_whole
from minoots_activities.capture.readers.reader import Identity
from minoots_activities.capture.recovery import records_of
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.sources import Source
from minoots_activities.capture.watcher import Watcher
from minoots_platform.records.conversations import searched
from minoots_platform.redaction import Found, Policy, Redactor
from minoots_workflows.capture.contracts import CaptureStart, FileChanged

REDACTOR = Redactor(Policy())
ID = "11110000-0000-4000-8000-000000000001"
NAMES = [
    f"{ID}.jsonl",
    f"rollout-2026-07-01T10-00-00-{ID}.jsonl",
    "session-2026-07-01T10-00-abcdef12.json",
    "session-2026-07-01T10-00-abcdef12.jsonl",
    f"session-state/{ID}/events.jsonl",
    f"chats/{ID}/agent-transcripts/{ID}.jsonl",
    f"{ID}/subagents/agent-abc.jsonl",
]
STORES = [
    "sessions.db",
    "opencode.db",
    ".aider.chat.history.md",
    "storage/session/p/ses_1.json",
    "history-session-state/s1.json",
]

RECORDS: list[dict[str, Any]] = [
    {
        "type": "user",
        "uuid": "u1",
        "sessionId": ID,
        "timestamp": "2026-07-01T10:00:00Z",
        "cwd": "/x",
        "message": {"role": "user", "content": "hello ü🦉"},
    },
    {
        "type": "assistant",
        "uuid": "u2",
        "timestamp": "2026-07-01T10:00:01Z",
        "message": {
            "id": "m1",
            "role": "assistant",
            "model": "claude-x",
            "content": [
                {"type": "text", "text": "answer"},
                {"type": "thinking", "thinking": "hm"},
                {"type": "tool_use", "id": "c1", "name": "ls", "input": {"a": [1, 2.5, None]}},
            ],
            "usage": {"input_tokens": 10, "output_tokens": 3},
        },
    },
    {
        "type": "user",
        "uuid": "u3",
        "message": {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "done", "is_error": False},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="},
                },
            ],
        },
    },
    {"timestamp": "2026-07-01T10:00:00Z", "type": "session_meta", "payload": {"id": ID, "cwd": "/x"}},
    {
        "timestamp": "2026-07-01T10:00:02Z",
        "type": "response_item",
        "payload": {"type": "function_call", "name": "shell", "call_id": "c2", "arguments": '{"a": 1}'},
    },
    {
        "timestamp": "2026-07-01T10:00:03Z",
        "type": "event_msg",
        "payload": {"type": "token_count", "info": {"last_token_usage": {"input_tokens": 7}}},
    },
    {"id": "m1", "timestamp": "2026-07-01T10:00:01Z", "type": "gemini", "content": "I look", "tokens": {}},
    {"sessionId": "s", "projectHash": "h", "startTime": "2026-07-01T10:00:00Z", "messages": []},
    {"role": "user", "created": 1_784_000_000, "content": [{"type": "text", "text": "hello"}]},
    {"id": "20250724_1", "working_dir": "/w", "description": "Tea"},
    {"type": "session.start", "data": {"sessionId": ID, "context": {"cwd": "/x"}}, "timestamp": "x"},
    {"type": "user.message", "id": "e1", "data": {"content": "hello"}, "timestamp": "2026-07-01T10:00:00Z"},
    {
        "uuid": "q1",
        "sessionId": "s",
        "timestamp": "2026-07-01T10:00:00Z",
        "type": "assistant",
        "cwd": "/x",
        "model": "qwen-x",
        "message": {
            "parts": [
                {"text": "Where?", "thought": True},
                {"text": "Here."},
                {"functionCall": {"id": "c1", "name": "ls", "args": {"path": "."}}},
                {"functionResponse": {"id": "c1", "name": "ls", "response": {"error": "no"}}},
            ]
        },
        "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 7},
    },
    {"role": "assistant", "message": {"content": [{"type": "text", "text": "Done."}]}},
    {"session": {"id": "ses_1", "title": "Tea", "directory": "/w", "version": "1.3"}},
    {
        "message": {
            "id": "m1",
            "role": "user",
            "time": {"created": 1_784_000_000_000},
            "tokens": {"input": 1},
        },
        "parts": [{"id": "p1", "type": "text", "text": "hello"}],
    },
]
LINES = [json.dumps(record, ensure_ascii=False).encode() for record in RECORDS]
# Every value of a record in the place of every other, and things that are no such value.
VALUES = [
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"9" * 30,
    b'""',
    b'"x"',
    b"[]",
    b"{}",
    b'[[{"type": []}]]',
    b"NaN",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A line of a program's with a few bytes of it replaced, taken out, or put in."""
    line = draw(st.sampled_from(LINES))
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(line)))
        end = min(len(line), begin + draw(st.integers(0, 40)))
        line = line[:begin] + draw(st.binary(max_size=6) | st.sampled_from(VALUES)) + line[end:]
    return line


@st.composite
def mistaken(draw: st.DrawFn) -> bytes:
    """A line of a program's in which values have become others."""
    record = json.loads(draw(st.sampled_from(LINES)))

    def change(value: Any) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return json.loads(draw(st.sampled_from([one for one in VALUES if one != b"1e400"])))
        if isinstance(value, dict):
            return {name: change(one) for name, one in value.items()}
        return [change(one) for one in value] if isinstance(value, list) else value

    return json.dumps(change(record)).encode()


ANY = st.binary(max_size=60) | damaged() | mistaken() | st.sampled_from(LINES)
TRANSCRIPTS = st.lists(ANY, max_size=6).map(b"\n".join) | st.lists(ANY, max_size=6).map(
    lambda lines: b"".join(line + b"\n" for line in lines)
)
PROVIDERS = sorted(READERS)


def taken_in(reader: Reader, name: str, data: bytes) -> Parsed:
    """Read some bytes as a transcript is read."""
    parsed, file = Parsed(), io.BytesIO(data)
    head = beginning_of(reader, file).head
    # Also where it is nobody's: what a parser takes does not depend on how its file is called.
    identity = reader.identify(PurePath("/home/x", name), head) or Identity("session")
    whole = records_of_whole(data) if reader.cursor == "whole" else None
    records = whole or [record for line in lines_from(file, 0) for record in records_of(line.data).records]
    parser = reader.parser(identity)
    for record in records:
        parser.feed([record], parsed)
        parser = reader.parser(identity, json.loads(orjson.dumps(parser.state)))
    return parsed


def require_that_it_can_be_kept(parsed: Parsed) -> None:
    """Do what the records do with an event, and what comes of it when it is read back."""
    orjson.dumps(parsed.facts)
    for draft in parsed.drafts:
        event = REDACTOR.event(draft.event, Found())
        body = event.model_dump(mode="json", exclude={"id", "revision", "kind", "ts"}, exclude_defaults=True)
        event.model_dump_json(exclude={"revision"}).encode("utf-8")
        searched(event).encode("utf-8")
        back = json.loads(json.dumps(body, allow_nan=False)) | {
            "id": event.id,
            "kind": event.kind,
            "ts": event.ts,
        }
        assert ConversationEvent.model_validate(back).model_dump() == event.model_dump()
        assert "\x00" not in json.dumps(body, ensure_ascii=False)


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(max_examples=120, deadline=None)
@given(name=st.sampled_from(NAMES), data=TRANSCRIPTS)
def test_no_bytes_make_reading_fail_and_everything_that_is_read_can_be_kept(
    provider: str, name: str, data: bytes
) -> None:
    require_that_it_can_be_kept(taken_in(READERS[provider], name, data))


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), line=st.sampled_from(LINES), junk=st.binary(max_size=40))
def test_what_stands_behind_damage_is_read_all_the_same(
    provider: str, name: str, line: bytes, junk: bytes
) -> None:
    clean = taken_in(READERS[provider], name, line + b"\n" + line + b"\n")
    broken = line + b"\n" + junk.replace(b"\n", b"").replace(b"{", b"") + b"\n" + line + b"\n"
    if READERS[provider].cursor == "lines":
        found = taken_in(READERS[provider], name, broken)
        assert [one.event for one in found.drafts] == [one.event for one in clean.drafts]


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(STORES),
    data=TRANSCRIPTS | ANY | st.binary().map(lambda rest: b"SQLite format 3\x00" + rest),
)
def test_no_bytes_make_a_store_fail_but_by_saying_so(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for reader in READERS.values():
            store = reader.store_of(path, ReadRoots([Path(folder)]).open)
            if store is None or not reader.holds(str(path)):
                continue
            parsed = Parsed()
            with suppress(Damaged):
                for one in store.listed():
                    parser = reader.parser(one.identity)
                    parser.feed(store.records(one.identity.session_id), parsed)
            require_that_it_can_be_kept(parsed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda rest: b"\x28\xb5\x2f\xfd" + rest))
def test_no_bytes_make_expanding_fail_but_by_saying_so(data: bytes) -> None:
    with suppress(Damaged), expanded(io.BytesIO(data), PurePath("rollout.jsonl.zst")) as file:
        file.read()


@pytest.mark.parametrize("kind", [[], {}, None, 1, "novelty"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_type_that_is_no_text_makes_no_parser_fail(provider: str, kind: Any) -> None:
    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: kind if name == "type" else changed(one) for name, one in value.items()}
        return [changed(one) for one in value] if isinstance(value, list) else value

    inside = [
        {name: one if name == "type" else changed(one) for name, one in record.items()} for record in RECORDS
    ]
    READERS[provider].parser(Identity("session")).feed([*changed(RECORDS), *inside], Parsed())


@pytest.mark.parametrize("info", ["{}", '{"id": null}', '{"id": "ses_1", "parentID": "\\ud83d"}', "[]", "{"])
async def test_a_session_of_a_store_that_is_odd_leaves_the_watching_to_the_others(
    tmp_path: Path, info: str
) -> None:
    told: list[str] = []

    async def tell(start: CaptureStart, file: FileChanged) -> None:
        told.append(Path(file.path).name)

    source = Source(READERS["opencode"], tmp_path)
    watcher = Watcher(
        [source], ReadRoots([tmp_path]), tell, tenant="acme", host="here", settle=0.01, rescan=1, idle=1
    )
    for name, content in (("ses_1.json", info), ("ses_2.json", '{"id": "ses_2"}')):
        path = tmp_path / "storage" / "session" / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    await watcher.look()
    assert "ses_2.json" in told
