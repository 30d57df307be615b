"""Claude Code's records, and every trap that was seen in real ones."""

from __future__ import annotations

import base64
from pathlib import Path, PurePath
from typing import Any

import pytest
from transcripts import events, parsed, records_in, story

from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.claude import Claude

FILE = PurePath("/x/.claude/projects/-x/11110000-0000-4000-8000-000000000001.jsonl")
AT = "2026-07-01T10:00:00.000Z"


def user(content: Any, uuid: str = "u1", **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content}
    return {"type": "user", "uuid": uuid, "sessionId": "s", "timestamp": AT, "message": message} | more


def answer(*blocks: dict[str, Any], uuid: str = "a1", output: int = 5, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 10, "output_tokens": output}
    message = {
        "id": "msg_1",
        "role": "assistant",
        "model": "claude-x",
        "content": list(blocks),
        "usage": usage,
    }
    return {"type": "assistant", "uuid": uuid, "sessionId": "s", "timestamp": AT, "message": message} | more


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def of(*records: dict[str, Any]) -> Parsed:
    return parsed("claude", list(records), FILE)


def test_one_answer_in_many_records_is_one_message_with_its_tokens_counted_once() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
    found = of(
        answer({"type": "thinking", "thinking": "hm", "signature": "x"}, uuid="a1", output=1),
        answer(text("I look."), uuid="a2", output=7),
        user([{"type": "tool_result", "tool_use_id": "toolu_0", "content": "late"}]),
        answer(call, uuid="a3", output=9),
        answer(call, uuid="a4", output=9),
    )
    by_kind = {event.kind.value: event for event in events(found).values()}
    assert list(by_kind) == ["thinking", "usage", "message.assistant", "tool.result", "tool.call"]
    assert {event.message_id for event in by_kind.values()} == {"msg_1", None}
    tokens = by_kind["usage"].tokens
    assert tokens is not None
    assert (tokens.input, tokens.cache_read, tokens.output) == (3, 10, 9)


def test_the_same_message_has_the_same_id_in_a_copy_of_the_file() -> None:
    record = user("hello")
    copied = parsed("claude", [record | {"sessionId": "other"}], PurePath("x" + FILE.name[1:]))
    rewritten = parsed("claude", [record | {"uuid": "new", "sessionId": "s"}], FILE)
    assert set(events(of(record))) == set(events(copied)) == set(events(rewritten))


def test_the_same_words_at_another_time_are_another_message() -> None:
    found = of(user("continue"), user("continue", uuid="u2", timestamp="2026-07-01T11:00:00Z"))
    assert story(found) == [("message.user", "continue")] * 2


@pytest.mark.parametrize(
    ("content", "more", "injected"),
    [
        ("do it", {}, False),
        ("<system-reminder>x</system-reminder>", {}, True),
        ("<command-name>/clear</command-name>", {}, True),
        ("Caveat: the messages below", {}, True),
        ("[Request interrupted by user]", {}, True),
        ("do it", {"isMeta": True}, True),
    ],
)
def test_what_nobody_typed_is_told_from_what_was_typed(
    content: str, more: dict[str, Any], injected: bool
) -> None:
    [event] = events(of(user(content, **more))).values()
    assert event.injected is injected


def test_reminders_are_taken_out_of_what_was_typed() -> None:
    said = "fix it <system-reminder>be brief</system-reminder>\n::record-notes"
    [event] = events(of(user(said))).values()
    assert event.text == "fix it \n::record-notes"


def test_a_result_is_not_a_message_of_the_user() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [text("one"), text("two")],
        "is_error": True,
    }
    [event] = events(of(user([result]))).values()
    assert event.kind == "tool.result"
    assert event.tool is not None
    assert (event.tool.output, event.tool.is_error) == ("one\ntwo", True)


@pytest.mark.parametrize("options", [5, True, "ab", {"a": 1}, [3], None])
def test_options_that_are_none_stop_nobody(options: Any) -> None:
    more = {"toolUseResult": {"questions": [{"question": "Which?", "options": options}, 3]}}
    found = parsed("claude", [user([{"type": "tool_result", "tool_use_id": "c"}], **more)], FILE)
    assert [event.kind.value for event in events(found).values()] == ["tool.result", "decision"]


def test_answers_to_questions_are_decisions() -> None:
    asked = {"question": "Which?", "header": "db", "options": [{"label": "a"}, {"label": "b"}]}
    more = {"toolUseResult": {"questions": [asked], "answers": {"Which?": "b"}}}
    found = of(user([{"type": "tool_result", "tool_use_id": "t", "content": "ok"}], **more))
    [decision] = [event for event in events(found).values() if event.kind == "decision"]
    assert decision.choice is not None
    assert (decision.choice.key, decision.choice.options, decision.choice.chosen) == (
        "db",
        ("a", "b"),
        ("b",),
    )


def test_images_are_kept_beside_the_message() -> None:
    data = base64.b64encode(b"\x89PNG").decode()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    [draft] = of(user([text("see"), image])).drafts
    assert [(one.media_type, one.size) for one in draft.event.enclosed] == [("image/png", 4)]
    assert draft.blobs[0].data == b"\x89PNG"


def test_compactions_errors_titles_and_queued_prompts_are_told() -> None:
    found = of(
        {
            "type": "system",
            "subtype": "compact_boundary",
            "uuid": "b",
            "timestamp": AT,
            "content": "compacted",
        },
        user("This session is being continued", isCompactSummary=True),
        answer(text("API Error: 529"), isApiErrorMessage=True),
        {"type": "ai-title", "aiTitle": "Tea", "sessionId": "s"},
        {"type": "custom-title", "customTitle": "Green tea", "sessionId": "s"},
        {
            "type": "attachment",
            "uuid": "q",
            "timestamp": AT,
            "attachment": {"type": "queued_command", "prompt": "and then stop", "commandMode": "prompt"},
        },
        {"type": "brand-new", "x": 1},
        {"type": "progress", "data": {}},
    )
    assert story(found) == [
        ("compaction", "compacted"),
        ("compaction", "This session is being continued"),
        ("error", "API Error: 529"),
        ("title", "Tea"),
        ("title", "Green tea"),
        ("message.user", "and then stop"),
    ]
    titles = [event.rank for event in events(found).values() if event.kind == "title"]
    assert titles == sorted(titles)
    assert dict(found.unknown) == {"brand-new": 1}


@pytest.mark.parametrize(
    ("path", "session", "parent", "agent"),
    [
        (str(FILE), FILE.stem, None, None),
        (
            "/p/11110000-0000-4000-8000-000000000001/subagents/agent-abc123.jsonl",
            "11110000-0000-4000-8000-000000000001/agent-abc123",
            "11110000-0000-4000-8000-000000000001",
            "abc123",
        ),
        ("/p/agent-abc123.jsonl", "s/agent-abc123", "s", "abc123"),
    ],
)
def test_whose_a_file_is(path: str, session: str, parent: str | None, agent: str | None) -> None:
    identity = Claude().identify(PurePath(path), {"sessionId": "s"})
    assert identity is not None
    assert (identity.session_id, identity.parent_id, identity.agent_id) == (session, parent, agent)


@pytest.mark.parametrize("path", ["/p/s/subagents/workflows/wf/journal.jsonl", "/p/history.txt", "/p/x.json"])
def test_other_files_are_nobodys(path: str) -> None:
    assert Claude().identify(PurePath(path), {"sessionId": "s"}) is None


def test_a_growing_file_only_adds(samples: Path) -> None:
    early, late = (
        events(parsed("claude", records_in(samples / "claude" / "v2.1.114_growth" / name), FILE))
        for name in ("t1.jsonl", "t2.jsonl")
    )
    assert list(late)[: len(early)] == list(early)


def test_both_records_of_a_glued_line_are_read(samples: Path) -> None:
    path = samples / "claude" / "v2.1.7-12_glued_records.jsonl"
    lines = path.read_bytes().split(b"\n")
    assert len(records_in(path)) > len([line for line in lines if line.strip()])
