"""Records as every program writes them, with values in them that nobody expects: nothing fails, and all of it
can be kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import READERS, story

from minoots.contracts.conversations import ConversationEvent
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.reader import Identity
from minoots_activities.capture.recovery import records_of

AT = "2026-07-01T10:00:00Z"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
CALL = {"type": "tool_use", "id": "c", "name": "ls", "input": {"a": [1]}}
RESULT = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "x"}, IMAGE]}
QUESTION = {"question": "Which?", "header": "h", "options": [{"label": "a"}]}
USAGE = {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3}
LAST = {"last_token_usage": USAGE, "total_token_usage": {"total_tokens": 5}}


def envelope(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "uuid": "u", "id": "i", "parentId": None, "sessionId": "s", "timestamp": AT} | more


def item(what: str, **more: Any) -> dict[str, Any]:
    return {"timestamp": AT, "type": "response_item", "payload": {"type": what, "call_id": "c"} | more}


def event(what: str, **more: Any) -> dict[str, Any]:
    return {"timestamp": AT, "type": "event_msg", "payload": {"type": what} | more}


def said(role: str, *content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "id": "m", "model": "m-1", "content": list(content)} | more


CLAUDE = [
    envelope("user", message=said("user", {"type": "text", "text": "hi"}, IMAGE), origin={"kind": "human"}),
    envelope("user", message=said("user", RESULT), toolUseResult={"questions": [QUESTION], "answers": {}}),
    envelope(
        "assistant", message=said("assistant", CALL, {"type": "thinking", "thinking": "hm"}, usage=USAGE)
    ),
    envelope("attachment", attachment={"type": "queued_command", "prompt": [IMAGE], "commandMode": "prompt"}),
    envelope("system", subtype="compact_boundary", content="x", isMeta=False),
    envelope("custom-title", customTitle="Tea"),
]
GEMINI_ANSWER = {
    **envelope("gemini", content=[{"text": "x"}, {"inlineData": {"data": "aGVsbG8=", "mimeType": "x/y"}}]),
    "thoughts": [{"subject": "a", "description": "b", "timestamp": AT}],
    "toolCalls": [
        {"id": "c", "name": "ls", "args": {}, "status": "success", "result": [{"functionResponse": {}}]}
    ],
    "tokens": {"input": 1, "cached": 1, "output": 1, "thoughts": 1},
}
RECORDS: dict[str, list[dict[str, Any]]] = {
    "claude": CLAUDE,
    "iflow": CLAUDE,
    "codex": [
        {
            "timestamp": AT,
            "type": "session_meta",
            "payload": {"id": "s", "cwd": "/x", "git": {"branch": "b"}},
        },
        {"timestamp": AT, "type": "turn_context", "payload": {"turn_id": "t", "model": "m"}},
        item(
            "message", role="user", content=[{"text": "hi"}, {"image_url": "data:image/png;base64,aGVsbG8="}]
        ),
        item("reasoning", summary=[{"text": "hm"}], content=["x"]),
        item("function_call", name="ls", namespace="n", arguments='{"a": 1}'),
        item("function_call_output", output='{"output": "x", "metadata": {"exit_code": 0}}'),
        item("agent_message", author="a", content=[{"text": "x"}]),
        event("user_message", message="hi", images=["data:image/png;base64,aGVsbG8="]),
        event("item_completed", item={"type": "UserMessage", "content": [{"text": "x"}], "text": "y"}),
        event("task_complete", last_agent_message="x"),
        event("token_count", info=LAST),
        event("thread_rolled_back", num_turns=1),
        {"timestamp": AT, "type": "compacted", "payload": {"message": "x"}},
    ],
    "gemini": [
        {"sessionId": "s", "messages": [GEMINI_ANSWER], "summary": "x", "directories": ["/x"]},
        GEMINI_ANSWER,
        envelope("user", content="hi", displayContent=[{"text": "hi"}]),
        {"$set": {"messages": [GEMINI_ANSWER]}},
        {"$rewindTo": "i"},
    ],
    "copilot": [
        envelope("session.start", data={"sessionId": "s", "context": {"cwd": "/x"}, "copilotVersion": "1"}),
        envelope(
            "user.message",
            agentId="a",
            data={"content": "hi", "source": "user", "attachments": [{"type": "blob"}]},
        ),
        envelope(
            "assistant.message",
            data={"content": "x", "toolRequests": [{"toolCallId": "c"}], "outputTokens": 1},
        ),
        envelope(
            "tool.execution_complete", data={"toolCallId": "c", "result": {"content": "x"}, "error": {}}
        ),
        envelope("session.truncation", data={"n": 1, "summaryContent": "x"}),
    ],
    "cursor": [
        {
            "role": "user",
            "message": {"content": [{"type": "text", "text": "<user_query>hi</user_query>"}, RESULT]},
        },
        {"role": "assistant", "message": {"content": [CALL, {"type": "thinking", "thinking": "x"}]}},
    ],
    "qwen": [
        envelope(
            "user", subtype="cron", provenance="x", message={"parts": [{"text": "hi"}, {"inlineData": {}}]}
        ),
        envelope(
            "assistant",
            usageMetadata={"promptTokenCount": 1},
            message={"parts": [{"functionCall": {"id": "c"}}]},
        ),
        envelope(
            "tool_result", message={"parts": [{"functionResponse": {"id": "c", "response": {"output": 1}}}]}
        ),
        envelope("system", subtype="custom_title", systemPayload={"customTitle": "x", "phase": "invocation"}),
        {"sessionId": "s", "messages": [GEMINI_ANSWER | {"type": "qwen"}]},
    ],
    "pi": [
        envelope("session", cwd="/x", parentSession="/x/t_s.jsonl"),
        envelope(
            "message",
            message=said("user", {"type": "text", "text": "hi"}, {"type": "image", "data": "aGVsbG8="}),
        ),
        envelope(
            "message",
            message=said(
                "assistant", {"type": "toolCall", "id": "c"}, usage={"input": 1}, stopReason="error"
            ),
        ),
        envelope("message", message=said("bashExecution", command="ls", output="x")),
        envelope("branch_summary", summary="x"),
    ],
    "goose": [
        {"id": "s", "working_dir": "/x", "description": "Tea"},
        {
            "id": "m",
            "role": "user",
            "created": 1,
            "metadata": {"userVisible": False},
            "content": [{"type": "text", "text": "hi"}],
        },
        {
            "role": "assistant",
            "content": [{"type": "toolRequest", "id": "c", "toolCall": {"value": {"name": "ls"}}}],
        },
        {
            "role": "user",
            "content": [{"type": "toolResponse", "id": "c", "toolResult": {"status": "error", "error": "x"}}],
        },
    ],
    "opencode": [
        {"session": {"id": "s", "title": "Tea", "directory": "/x", "version": "1"}},
        {
            "message": {
                "id": "m",
                "role": "user",
                "time": {"created": 1},
                "tokens": {"cache": {}},
                "error": {"data": {}},
            },
            "parts": [
                {
                    "id": "p",
                    "type": "tool",
                    "state": {"status": "error", "input": {}, "error": {"message": "x"}},
                }
            ],
        },
    ],
    "aider": [{"started": "x", "folder": "/x"}, {"role": "user", "text": "hi"}],
}
ODD: list[Any] = [
    None, True, -1, 1e308, 10**30, "", "x", "\n", "<skill>", "\x00\x1b[", AT, [], {}, [[]], [{}], [None],
    {"type": {}}, [{"type": "text", "text": None}], {"kind": []}, ["a", 5], "data:image/png;base64,@",
]  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a value."""
    if way:
        yield way
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*way, name))


def changed(record: dict[str, Any], way: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    record = copy.deepcopy(record)
    inner: Any = record
    for name in way[:-1]:
        inner = inner[name]
    inner[way[-1]] = copy.deepcopy(odd)
    return record


@pytest.mark.parametrize("provider", sorted(READERS))
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_value_makes_a_parser_fail_or_tell_what_cannot_be_kept(provider: str, data: st.DataObject) -> None:
    records = []
    for record in RECORDS[provider]:
        ways = list(places(record))
        way, odd = data.draw(st.sampled_from(ways)), data.draw(st.sampled_from(ODD))
        records.append(changed(record, way, odd))
    reader, told = READERS[provider], Parsed()
    parser = reader.parser(Identity("s"))
    parser.feed(records[:2], told)
    state = json.loads(json.dumps(parser.state))
    reader.parser(Identity("s"), state).feed(records[2:], told)
    reader.written_anew(state)
    for record in records:
        reader.identify(PurePath("/x/a.jsonl"), record)
    for draft in told.drafts:
        assert ConversationEvent.model_validate_json(draft.event.model_dump_json()).id == draft.event.id


@pytest.mark.parametrize("provider", sorted(READERS))
def test_what_nobody_changed_is_understood(provider: str) -> None:
    told = Parsed()
    READERS[provider].parser(Identity("s")).feed(RECORDS[provider], told)
    assert not told.unknown
    assert told.understood == len(RECORDS[provider])
    assert len(told.drafts) >= len(RECORDS[provider]) // 2


def test_one_odd_message_of_a_whole_conversation_is_not_the_end_of_it() -> None:
    odd = [GEMINI_ANSWER | {name: 7} for name in ("thoughts", "toolCalls", "tokens", "content", "timestamp")]
    odd.append(GEMINI_ANSWER | {"toolCalls": [{"status": []}]})
    messages = [one | {"id": f"{number}"} for number, one in enumerate(odd)]
    told = Parsed()
    last = envelope("user", content="still here") | {"id": "last"}
    READERS["gemini"].parser(Identity("s")).feed([{"sessionId": "s", "messages": [*messages, last]}], told)
    assert story(told)[-1] == ("message.user", "still here")


# What would take hours, were it not looked through once.


def test_what_is_taken_back_again_and_again_is_looked_through_once() -> None:
    many = 30_000
    talk = [envelope("user", content="x") | {"id": f"{number}"} for number in range(many)]
    back = [{"$rewindTo": f"{number}"} for number in reversed(range(many))]
    told = Parsed()
    READERS["gemini"].parser(Identity("s")).feed([*talk, *back], told)
    assert len(told.drafts) == 2 * many


def test_a_prompt_in_very_many_parts_is_looked_through_once() -> None:
    parts = [
        {"type": "text", "text": f"<task-notification>{number}</task-notification>"}
        for number in range(30_000)
    ]
    told = Parsed()
    READERS["claude"].parser(Identity("s")).feed([envelope("user", message=said("user", *parts))], told)
    assert len(told.drafts) == len(parts)


def test_a_line_that_breaks_off_at_its_end_is_given_up_from_wherever_it_is_tried() -> None:
    line = b'{"a":[' * 900 + b"1," * 2_000_000
    assert records_of(line).damaged
    whole = b'{"b":1}'
    assert records_of(b'{"a":"' + b"x" * 1_000_000 + whole).records == ({"b": 1},)
