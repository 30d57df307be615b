"""What comes twice in a Codex thread: in two forms, written anew, in segments; and what is said twice."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from codex_records import FILE, META, OLDER, THREAD, YOUNGER, event, line, said
from transcripts import READERS, events, parsed, story

from minoots.contracts.conversations import ConversationEvent
from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.reader import Identity

LATER = "019d7e2f-1000-7000-8000-000000000000"
URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


def at(seconds: float, record: dict[str, Any]) -> dict[str, Any]:
    """The record, written so many seconds after the hour."""
    minutes, rest = divmod(seconds, 60)
    return record | {"timestamp": f"2026-07-01T10:{int(minutes):02}:{rest:06.3f}Z"}


def read(*records: dict[str, Any], cuts: tuple[int, ...] = ()) -> list[ConversationEvent]:
    return list(events(parsed("codex", [META, *records], FILE, *cuts)).values())


def turn(turn_id: str) -> dict[str, Any]:
    return event("task_started", turn_id=turn_id)


def asks(text: str) -> dict[str, Any]:
    return event("user_message", message=text)


def answers(text: str) -> dict[str, Any]:
    return event("agent_message", message=text)


def call(name: str = "shell", call_id: str | None = "c1", given: str = "{}") -> dict[str, Any]:
    named = {} if call_id is None else {"call_id": call_id}
    return line("response_item", type="function_call", name=name, arguments=given, **named)


def result(output: str, call_id: str | None = "c1") -> dict[str, Any]:
    named = {} if call_id is None else {"call_id": call_id}
    return line("response_item", type="function_call_output", output=output, **named)


# One prompt in two forms


@pytest.mark.parametrize("cut", [None, 1, 2, 3])
@pytest.mark.parametrize(
    ("history", "shown", "told"),
    [
        ("::export-notes", "::export-notes", "::export-notes"),
        ("Context: a.py\n## My request for Codex:\n::export-notes", "::export-notes", "::export-notes"),
        ("@a.py expanded\n::export-notes", "@a.py\n::export-notes", "@a.py\n::export-notes"),
        ("::export-notes", "Context\n## My request for Codex:\n::export-notes \n", "::export-notes"),
    ],
)
def test_a_prompt_in_two_forms_is_told_once_as_it_was_typed(
    history: str, shown: str, told: str, cut: int | None
) -> None:
    records = [at(1, said("user", history)), at(1.005, asks(shown)), at(2, answers("Yes."))]
    found = read(*records, cuts=() if cut is None else (cut,))
    assert [(one.kind, one.text) for one in found] == [(Kind.USER, told), (Kind.ASSISTANT, "Yes.")]
    assert (found[0].ts and found[0].ts.microsecond) == 0, "when it was first written"


def test_the_image_of_a_prompt_stays_with_it_whichever_form_comes_first() -> None:
    seen = said("user", "see")
    seen["payload"]["content"].append({"type": "input_image", "image_url": URL})
    for records in (
        (asks("hi"), answers("Hi."), seen, asks("see")),
        (seen, asks("see")),
        (asks("see"), seen),
    ):
        for cut in range(1, len(records) + 1):
            *_, last = read(*records, cuts=(cut,))
            assert (last.text, [one.media_type for one in last.enclosed]) == ("see", ["image/png"])
    [alone] = read(event("user_message", message="", images=[URL]))
    assert (alone.kind, alone.text, len(alone.enclosed)) == (Kind.USER, "", 1)


def test_a_prompt_that_comes_as_an_event_only_is_none_of_those_before() -> None:
    records = (said("user", "one"), answers("1"), asks("two"), answers("2"))
    assert [one.text for one in read(*records)] == ["one", "1", "two", "2"]


def test_nothing_that_was_said_is_kept_with_the_state() -> None:
    parser = READERS["codex"].parser(Identity(THREAD))
    secret = "my password is tea"
    texts = [said("user", secret), asks(secret), answers(secret), call(given=json.dumps({"a": secret}))]
    parser.feed([META, *texts, turn(OLDER), said("user", secret)], Parsed())
    assert "tea" not in json.dumps(parser.state)


# The same again


def test_calls_that_are_the_same_are_two() -> None:
    for call_id in ("c1", None):
        again = (call(call_id=call_id), result("x", call_id))
        assert [one.kind for one in read(*again, *again)] == [Kind.TOOL_CALL, Kind.TOOL_RESULT] * 2
    search = line("response_item", type="web_search_call", action={"query": "tea"})
    assert len(read(search, search)) == 2


def test_errors_and_steps_back_that_are_the_same_are_two() -> None:
    for one in (event("error", message="busy"), event("thread_rolled_back", num_turns=1)):
        assert len(read(one, one)) == 2


def test_the_same_words_in_another_turn_are_said_again_also_in_another_file_of_the_thread() -> None:
    first = read(turn(OLDER), asks("go on"), answers("Done."), asks("go on"), answers("Done."))
    assert len(first) == 4
    segment = read(turn(LATER), asks("go on"), answers("Done."))
    assert not {one.id for one in first} & {one.id for one in segment}
    assert segment == read(turn(OLDER), turn(LATER), asks("go on"), answers("Done."))


def test_a_turn_that_never_ends_is_kept_in_little() -> None:
    parser, told = READERS["codex"].parser(Identity(THREAD)), Parsed()
    parser.feed([META, turn(YOUNGER)], told)
    for number in range(5000):
        parser.feed([asks(f"{number}"), call(call_id=f"c{number}"), answers(f"a{number}")], told)
    parser.feed([asks("7"), answers("a7"), asks("7")], told)
    assert len(json.dumps(parser.state)) < 10_000
    assert len({draft.event.id for draft in told.drafts}) == len(told.drafts) == 15_003


# The order


def test_a_thought_stands_before_the_answer_that_follows_it() -> None:
    reasoning = line("response_item", type="reasoning", id="rs_1", summary=[{"text": "A"}, {"text": "B"}])
    again = line("response_item", type="reasoning", id="rs_2", summary=[{"text": "B"}, {"text": "C"}])
    thought = [event("agent_reasoning", text=text) for text in "AB"]
    records = (asks("hi"), *thought, answers("Hi."), reasoning, said("assistant", "Hi."), again)
    told = [("message.user", "hi"), ("thinking", "A"), ("thinking", "B"), ("message.assistant", "Hi.")]
    assert story(parsed("codex", [META, *records], FILE)) == [*told, ("thinking", "C")]
    for item in ({"content": [{"type": "reasoning_text", "text": "D"}]}, {"summary": [], "content": ["D"]}):
        [one] = read(line("response_item", type="reasoning", **item))
        assert (one.kind, one.text) == (Kind.THINKING, "D")
    item = {"type": "Reasoning", "summary_text": ["E"], "raw_content": []}
    assert [one.text for one in read(event("item_completed", item=item))] == ["E"]


# Copies


def test_a_history_that_is_written_anew_with_its_turns_is_told_once() -> None:
    first = [turn(YOUNGER), asks("go on"), answers("Done."), asks("go on"), call(), result("x")]
    second = [turn(LATER), asks("go on"), answers("Done.")]
    records = [META, *first, *second]
    once = events(parsed("codex", records, FILE))
    anew = [at(600, one) for one in (META, *first, *second)]
    more = [at(700, turn("019d7e2f-2000-7000-8000-000000000000")), at(701, asks("and now?"))]
    for cut in range(1, len(records) + len(anew)):
        found = events(parsed("codex", [*records, *anew, *more], FILE, cut))
        assert list(found)[: len(once)] == list(once)
        assert [one.text for one in list(found.values())[len(once) :]] == ["and now?"]


def test_a_history_without_turns_that_is_written_anew_is_told_once() -> None:
    history = [said("user", "make tea"), asks("make tea"), answers("Done."), asks("go on"), answers("Done.")]
    records = [META, *(at(number, one) for number, one in enumerate(history, 1))]
    anew = [at(600.001, META), *(at(600.002, one) for one in history)]
    more = [at(650, asks("go on")), at(651, answers("Done."))]
    told = ["make tea", "Done.", "go on", "Done.", "go on", "Done."]
    for cut in range(1, len(records) + len(anew)):
        found = events(parsed("codex", [*records, *anew, *more], FILE, cut)).values()
        assert [one.text for one in found] == told
        assert {one.ts and one.ts.minute for one in list(found)[:4]} == {0}


def test_who_begins_again_with_the_same_words_is_heard() -> None:
    records = [META, at(1, asks("run")), at(2, answers("Ran.")), at(600, META), at(600.3, asks("run"))]
    found = events(parsed("codex", [*records, at(602, answers("Ran."))], FILE)).values()
    assert [one.text for one in found] == ["run", "Ran."] * 2


def test_the_first_own_prompt_behind_a_copy_without_turns_is_told() -> None:
    copied = [line("session_meta", id=OLDER), asks("of the parent"), answers("of the parent")]
    own = [at(9, asks("of the child")), at(9, line("turn_context", model="m"))]
    assert [one.text for one in read(*copied, *own)] == ["of the child"]


def test_another_version_may_write_no_events_behind_a_second_head() -> None:
    records = [asks("one"), answers("1"), at(9, META), at(10, said("user", "two")), said("assistant", "2")]
    assert [one.text for one in read(*records)] == ["one", "1", "two", "2"]


def test_what_another_agent_says_is_told_as_that_and_unknown_items_are_counted() -> None:
    content = [{"type": "output_text", "text": "::record-notes"}]
    found = parsed(
        "codex",
        [
            META,
            line("response_item", type="agent_message", author="/root/tea", content=content),
            line("response_item", type="ghost_snapshot"),
            line("response_item", type="brand_new"),
        ],
        FILE,
    )
    [one] = events(found).values()
    assert (one.kind, one.injected, one.details) == (Kind.SYSTEM, True, {"origin": "/root/tea"})
    assert found.unknown == {"item brand_new": 1}
