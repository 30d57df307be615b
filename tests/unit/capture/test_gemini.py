"""Gemini's conversations, rewritten as a whole or as a log."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from transcripts import events, parsed, records_in, story

FILE = PurePath("/x/.gemini/tmp/p/chats/session-2026-07-01T10-00-abcdef12.jsonl")
AT = "2026-07-01T10:00:00.000Z"
HEADER = {"sessionId": "s", "projectHash": "h", "startTime": AT, "lastUpdated": AT, "kind": "main"}


def user(message_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"id": message_id, "timestamp": AT, "type": "user", "content": text} | more


def model(message_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"id": message_id, "timestamp": AT, "type": "gemini", "content": text, "model": "gemini-x"} | more


def of(*records: dict[str, Any]) -> list[tuple[str, str]]:
    return story(parsed("gemini", [HEADER, *records], FILE))


def test_a_message_that_is_written_again_replaces_itself_in_its_place() -> None:
    call = {"id": "c1", "name": "ls", "args": {}, "status": "executing", "timestamp": AT}
    done = call | {
        "status": "success",
        "result": [{"functionResponse": {"id": "c1", "name": "ls", "response": {"output": "x"}}}],
    }
    assert of(user("1", "look"), model("2", "", toolCalls=[call])) == [
        ("message.user", "look"),
        ("tool.call", "c1"),
    ]
    assert of(
        user("1", "look"),
        model("2", "", toolCalls=[call]),
        user("3", "more"),
        model("2", "so", toolCalls=[done]),
    ) == [
        ("message.user", "look"),
        ("message.assistant", "so"),
        ("tool.call", "c1"),
        ("tool.result", "c1"),
        ("message.user", "more"),
    ]


def test_what_a_checkpoint_leaves_out_or_a_rewind_takes_back_is_told_as_to_who_read_earlier() -> None:
    assert of(
        user("1", "one"), user("2", "two"), {"$set": {"messages": [user("1", "one"), user("3", "three")]}}
    ) == [("message.user", "one"), ("message.user", "two"), ("message.user", "three")]
    found = of(user("1", "one"), user("2", "two"), user("3", "three"), {"$rewindTo": "2"}, user("4", "four"))
    assert [one for one in found if one[0] == "message.user"] == [
        ("message.user", word) for word in ("one", "two", "three", "four")
    ]
    assert [kind for kind, _ in found] == [*["message.user"] * 3, "rewind", "rewind", "message.user"]


def test_commands_that_the_shown_text_leaves_out_are_kept() -> None:
    found = of(user("1", "please\n::record-notes", displayContent="please"))
    assert found == [("message.user", "please\n::record-notes")]


def test_what_a_command_of_the_program_makes_of_itself_commands_nothing() -> None:
    found = of(user("1", "Read this:\n::record-notes\nand tell", displayContent="/mine"))
    assert found == [("message.user", "/mine")]


def test_tokens_are_told_as_they_are_elsewhere() -> None:
    tokens = {"input": 100, "output": 5, "cached": 40, "thoughts": 7, "tool": 0, "total": 112}
    [usage] = [
        one
        for one in events(parsed("gemini", [HEADER, model("1", "", tokens=tokens)], FILE)).values()
        if one.tokens
    ]
    assert usage.tokens is not None
    assert (usage.tokens.input, usage.tokens.cache_read, usage.tokens.output, usage.tokens.thinking) == (
        60,
        40,
        12,
        7,
    )


def test_a_series_of_rewrites_repeats_nothing(samples: Path) -> None:
    folder = samples / "gemini" / "rewrite_series"
    first, second, third = (
        events(parsed("gemini", records_in(path), path)) for path in sorted(folder.glob("*.json"))
    )
    assert first.keys() <= second.keys() <= third.keys()
    users = [one.text for one in third.values() if one.kind == "message.user"]
    assert len(users) == len(set(users))
