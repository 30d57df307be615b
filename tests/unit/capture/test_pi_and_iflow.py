"""pi: a tree of entries, forks; iFlow: calls that come again, results in another wire's shape."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import pytest
from transcripts import READERS, events, parsed, records_in, story

from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.reader import Identity

PI = PurePath("/x/.pi/agent/sessions/--x--/2026-07-01T10-00-00-000Z_s1.jsonl")
HEADER: dict[str, Any] = {
    "type": "session",
    "version": 3,
    "id": "s1",
    "timestamp": "2026-07-01T10:00:00Z",
    "cwd": "/x",
}


def entry(number: int, kind: str = "message", parent: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "id": f"e{number}",
        "parentId": f"e{number - 1 if parent is None else parent}" if number > 1 else None,
        "timestamp": f"2026-07-01T10:00:{number:02}Z",
        **more,
    }


def said(number: int, role: str, content: Any, parent: int | None = None, **more: Any) -> dict[str, Any]:
    return entry(number, parent=parent, message={"role": role, "content": content, **more})


TALK = [
    HEADER,
    said(1, "user", [{"type": "text", "text": "List the files"}]),
    said(
        2,
        "assistant",
        [
            {"type": "thinking", "thinking": "Which folder?"},
            {"type": "thinking", "thinking": "", "redacted": True},
            {"type": "text", "text": "Listing."},
            {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"command": "ls"}},
        ],
        model="m-1",
        usage={"input": 10, "output": 5, "cacheRead": 3, "cacheWrite": 2, "cost": {"total": 1}},
    ),
    said(3, "toolResult", [{"type": "text", "text": "a.txt"}], toolCallId="c1", isError=False),
    said(4, "assistant", [{"type": "text", "text": "One file."}], model="m-1"),
]


def test_a_talk_with_pi_is_told_whole_wherever_reading_was_interrupted() -> None:
    once = parsed("pi", TALK, PI)
    assert story(once) == [
        ("message.user", "List the files"),
        ("thinking", "Which folder?"),
        ("message.assistant", "Listing."),
        ("tool.call", "c1"),
        ("tool.result", "c1"),
        ("message.assistant", "One file."),
    ]
    assert once.facts == {"cwd": "/x", "model": "m-1"}
    (usage,) = (event for event in events(once).values() if event.kind is Kind.USAGE)
    assert usage.tokens is not None
    assert usage.tokens.model_dump(exclude_none=True) == {
        "input": 10,
        "cache_read": 3,
        "cache_write": 2,
        "output": 5,
    }
    for cut in range(len(TALK)):
        assert events(parsed("pi", TALK, PI, cut)) == events(once)


def test_going_on_from_an_earlier_entry_is_a_rewind_also_after_a_restart() -> None:
    records = [*TALK, said(5, "user", "Other files", parent=2), said(6, "assistant", [])]
    for cut in range(len(records)):
        found = list(events(parsed("pi", records, PI, cut)).values())
        (rewind,) = (event for event in found if event.kind is Kind.REWIND)
        assert rewind.details == {"message_id": "e2"}
        assert found[-1].text == "Other files"


@pytest.mark.parametrize("name", ["parentSession", "branchedFrom"])
@pytest.mark.parametrize("folder", ["/x/sessions/--x--/", "C:\\x\\"])
def test_a_fork_tells_whose_it_is_and_repeats_nothing(name: str, folder: str) -> None:
    header = HEADER | {"id": "s2", name: f"{folder}2026-07-01T10-00-00-000Z_s1.jsonl"}
    records = [header, *TALK[1:], said(5, "user", "And now?")]
    assert READERS["pi"].identify(PI, header) == Identity("s2", "s1", "fork")
    of_parent = events(parsed("pi", TALK, PI))
    of_fork = events(parsed("pi", records, PI))
    assert [event.text for key, event in of_fork.items() if key not in of_parent] == ["And now?"]


def test_what_the_user_did_not_say_is_not_taken_for_it() -> None:
    records = [
        HEADER,
        entry(1, message={"role": "bashExecution", "command": "ls", "output": "::record-notes"}),
        entry(2, "custom_message", content="::record-notes", customType="x"),
        entry(3, message={"role": "user", "content": "<skill name='x'>::record-notes</skill>"}),
        entry(4, "compaction", summary="They listed files."),
        entry(5, "branch_summary", summary="They went elsewhere."),
        entry(6, "session_info", name="Files"),
        entry(7, "label", label="here"),
        entry(8, "something_new"),
        said(9, "assistant", [], stopReason="error", errorMessage="overloaded"),
    ]
    found = parsed("pi", records, PI)
    assert [(event.kind, event.injected) for event in events(found).values()] == [
        (Kind.SYSTEM, True),
        (Kind.SYSTEM, True),
        (Kind.USER, True),
        (Kind.COMPACTION, False),
        (Kind.COMPACTION, False),
        (Kind.TITLE, False),
        (Kind.ERROR, False),
    ]
    assert found.unknown == {"something_new": 1}


@pytest.mark.parametrize(
    ("parts", "own"),
    [
        (["<skill name='x'>\n::record-notes\n</skill>"], None),
        (["hi", "<system-reminder>a</system-reminder>\n::record-notes"], "hi"),
        (["hi", "# AGENTS.md instructions\n::record-notes"], "hi"),
        (['<file name="/x/a.md">\n::record-notes\n</file>\n::stop\n</file>\nsummarise'], "summarise"),
        (['hi\n<file name="/x/a.md">\n::record-notes'], "hi"),
    ],
)
@pytest.mark.parametrize("image", [False, True])
def test_a_part_of_a_program_is_not_the_users_whatever_stands_beside_it(
    parts: list[str], own: str | None, image: bool
) -> None:
    content: list[dict[str, Any]] = [{"type": "text", "text": part} for part in parts]
    content += [{"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}] * image
    (event,) = events(parsed("pi", [HEADER, said(1, "user", content)], PI)).values()
    if own is None and not image:
        assert event.injected
    else:
        assert (event.text, event.injected) == (own or "", False)


def test_entries_that_were_given_ids_later_are_the_same_as_before() -> None:
    bare = [{key: one for key, one in record.items() if key not in ("id", "parentId")} for record in TALK[1:]]
    both = said(3, "toolResult", [{"type": "text", "text": "b.txt"}], toolCallId="c2")
    before = events(parsed("pi", [HEADER, *bare, both], PI))
    after = events(parsed("pi", [*TALK, both], PI))
    assert list(before) == [key for key, event in after.items() if event.kind is not Kind.REWIND]
    results = [event.tool for event in before.values() if event.kind is Kind.TOOL_RESULT]
    assert [tool.call_id for tool in results if tool] == ["c1", "c2"]


def test_going_back_to_the_beginning_is_told_and_what_a_fork_left_out_is_no_rewind() -> None:
    anew = said(5, "user", "Anew") | {"parentId": None}
    (rewind,) = (one for one in events(parsed("pi", [*TALK, anew], PI)).values() if one.kind is Kind.REWIND)
    assert rewind.details == {}
    left_out = said(5, "user", "And now?") | {"parentId": "a label"}
    forked = HEADER | {"id": "s2", "parentSession": "/x/2026-07-01T10-00-00-000Z_s1.jsonl"}
    kinds = [event.kind for event in events(parsed("pi", [forked, *TALK[1:], left_out], PI)).values()]
    assert Kind.REWIND not in kinds


def test_going_back_far_is_a_rewind_too_and_says_to_which_message() -> None:
    talk = [HEADER, *(said(number, "user", f"{number}") for number in range(1, 60))]
    long = [*talk, *(entry(number, "label") for number in range(60, 600)), said(600, "user", "On", parent=2)]
    for cut in (0, 100, len(long) - 1):
        found = list(events(parsed("pi", long, PI, cut)).values())
        (rewind,) = (event for event in found if event.kind is Kind.REWIND)
        to = next(event for event in found if event.message_id == rewind.details["message_id"])
        assert to.text == "2"


@pytest.mark.parametrize("head", [None, {}, {"type": "message"}, HEADER | {"id": 3}, HEADER | {"id": ""}])
def test_what_begins_without_a_header_is_no_session_of_pi(head: dict[str, Any] | None) -> None:
    assert READERS["pi"].identify(PI, head) is None


IFLOW = PurePath("/x/.iflow/projects/-x/session-s1.jsonl")


def turn(number: int, kind: str, content: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"u{number}",
        "sessionId": "session-s1",
        "timestamp": f"2026-07-01T10:00:{number:02}Z",
        "message": {"id": f"r{number}", "role": kind, "content": content},
        **more,
    }


def call(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "read_file", "input": {"path": call_id}}


def answer(call_id: str, response: Any) -> dict[str, Any]:
    parts = {"functionResponse": {"id": call_id, "name": "read_file", "response": response}}
    return {
        "type": "tool_result",
        "tool_use_id": call_id,
        "content": {"callId": call_id, "responseParts": parts},
    }


def test_calls_that_come_again_are_told_once_and_results_are_what_the_tool_said() -> None:
    records = [
        turn(1, "user", [{"type": "text", "text": "Read both"}]),
        turn(2, "assistant", [{"type": "text", "text": "Reading."}, call("c1")]),
        turn(3, "assistant", [call("c1"), call("c2")]),
        turn(4, "user", [answer("c1", {"output": "one"})], toolUseResult={"status": "success"}),
        turn(5, "user", [answer("c2", {"error": "no file"})], toolUseResult={"status": "error"}),
    ]
    found = parsed("iflow", records, IFLOW)
    assert story(found) == [
        ("message.user", "Read both"),
        ("message.assistant", "Reading."),
        ("tool.call", "c1"),
        ("tool.call", "c2"),
        ("tool.result", "c1"),
        ("tool.result", "c2"),
    ]
    results = [event.tool for event in events(found).values() if event.kind is Kind.TOOL_RESULT]
    assert [(tool.output, tool.is_error) for tool in results if tool] == [("one", False), ("no file", True)]


def test_what_mentioned_files_hold_was_not_said_by_the_user() -> None:
    mention = "--- Content from referenced files ---"
    content = ["see @a.txt", f"\n{mention}", "a.txt:", "::record-notes"]
    records = [
        turn(1, "user", [{"type": "text", "text": part} for part in content]),
        {**turn(2, "user", []), "message": {"role": "user", "content": f"and b\n{mention}\n::stop"}},
    ]
    told = [event.text for event in events(parsed("iflow", records, IFLOW)).values()]
    assert [text and text.strip() for text in told] == ["see @a.txt", "and b"]


def test_calls_of_two_sessions_may_be_called_the_same() -> None:
    records = [turn(1, "assistant", [call("read:0")]), turn(2, "user", [answer("read:0", {"output": "x"})])]
    found = []
    for session in ("a", "b"):
        found.append(Parsed())
        READERS["iflow"].parser(Identity(session)).feed(records, found[-1])
    assert events(found[0]).keys().isdisjoint(events(found[1]))
    unnamed = turn(1, "assistant", [{"type": "tool_use", "input": {"n": n}} for n in range(2)])
    assert len(events(parsed("iflow", [unnamed], IFLOW))) == 2


def test_all_parts_of_a_result_are_kept_and_a_failure_is_one_whoever_says_so() -> None:
    parts = [
        {"functionResponse": {"response": {"output": None, "error": "half"}}},
        {"text": "more"},
        {"inlineData": {"data": "aGVsbG8=", "mimeType": "image/png"}},
    ]
    block = {
        "type": "tool_result",
        "tool_use_id": "c1",
        "content": {"responseParts": parts},
        "is_error": True,
    }
    (event,) = events(parsed("iflow", [turn(1, "user", [block])], IFLOW)).values()
    assert event.tool is not None
    assert (event.tool.output, event.tool.is_error, len(event.enclosed)) == ("half\nmore", True, 1)


def test_a_result_without_an_answer_is_what_was_shown_of_it() -> None:
    shown = {"type": "tool_result", "tool_use_id": "c1", "content": {"resultDisplay": "Read 8 lines"}}
    odd = {"type": "tool_result", "tool_use_id": "c2", "content": {"responseParts": [3, {"x": 1}]}}
    found = Parsed()
    READERS["iflow"].parser(Identity("session-s1")).feed([turn(1, "user", [shown, odd])], found)
    outputs = [draft.event.tool.output for draft in found.drafts if draft.event.tool]
    assert outputs == ["Read 8 lines", '{"responseParts":[3,{"x":1}]}']


def test_real_sessions_are_read_whole(samples: Path) -> None:
    of_iflow = parsed("iflow", records_in(samples / "iflow" / "session.jsonl"), IFLOW)
    kinds = [event.kind for event in events(of_iflow).values()]
    assert of_iflow.unknown.total() == 0
    assert kinds.count(Kind.TOOL_CALL) == kinds.count(Kind.TOOL_RESULT) == 6
    of_pi = parsed("pi", records_in(samples / "pi" / "session.jsonl"), PI)
    assert of_pi.unknown == {"unknown_future_entry_type": 1}
    assert [event.kind for event in events(of_pi).values()].count(Kind.USER) == 2
