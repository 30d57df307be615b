"""Codex' lines in all their forms."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import pytest
from codex_records import FILE, META, OLDER, THREAD, YOUNGER, event, line, said
from transcripts import events, parsed, records_in, story

from minoots_activities.capture.readers.codex import Codex


def of(*records: dict[str, Any]) -> list[tuple[str, str]]:
    return story(parsed("codex", [META, *records], FILE))


def test_what_is_told_twice_is_taken_once() -> None:
    assert of(
        said("user", "make tea"),
        event("user_message", message="make tea"),
        said("assistant", "yes"),
        event("agent_message", message="yes"),
        event("task_complete", turn_id=YOUNGER, last_agent_message="yes"),
    ) == [("message.user", "make tea"), ("message.assistant", "yes")]


def test_the_same_words_again_are_said_again() -> None:
    again = [
        event("user_message", message="go on"),
        said("user", "go on"),
        event("agent_message", message="ok"),
    ]
    assert of(*again, *again) == [("message.user", "go on"), ("message.assistant", "ok")] * 2


def test_history_alone_is_enough_and_so_are_numbered_items() -> None:
    told = [("message.user", "make tea"), ("message.assistant", "yes")]
    assert of(said("user", "make tea"), said("assistant", "yes")) == told
    item = {"type": "UserMessage", "content": [{"type": "text", "text": "make tea"}]}
    assert (
        of(
            event("item_completed", item=item),
            event(
                "item_completed", item={"type": "AgentMessage", "content": [{"type": "Text", "text": "yes"}]}
            ),
        )
        == told
    )
    assert of(event("task_complete", last_agent_message="yes")) == told[1:]


def test_what_the_program_put_in_is_not_said() -> None:
    assert of(
        said("user", "<environment_context>\n<cwd>/x</cwd>\n</environment_context>"),
        said("user", "# AGENTS.md instructions for /x"),
        said("developer", "be good"),
        event("user_message", message="Context: x\n## My request for Codex:\nmake tea"),
    ) == [("message.user", "make tea")]


def test_what_a_model_thinks_and_calls_before_it_says_a_word_is_its_own() -> None:
    found = parsed(
        "codex",
        [
            META,
            line("turn_context", cwd="/x", model="gpt-5.5"),
            event("user_message", message="make tea"),
            event("agent_reasoning", text="tea, then"),
            line("response_item", type="function_call", name="shell", arguments="{}", call_id="c1"),
            event("agent_message", message="yes"),
        ],
        FILE,
    )
    by = [(one.kind.value, one.model) for one in events(found).values()]
    assert by == [
        ("message.user", None),
        ("thinking", "gpt-5.5"),
        ("tool.call", "gpt-5.5"),
        ("message.assistant", "gpt-5.5"),
    ]


def test_calls_and_results_are_linked_by_their_call() -> None:
    found = parsed(
        "codex",
        [
            META,
            line(
                "response_item", type="function_call", name="shell", arguments='{"cmd": "ls"}', call_id="c1"
            ),
            line(
                "response_item",
                type="function_call_output",
                call_id="c1",
                output='{"output":"x","metadata":{"exit_code":2}}',
            ),
            line("response_item", type="custom_tool_call", name="apply_patch", input="***", call_id="c2"),
            line("response_item", type="function_call", name="shell", arguments="{broken", call_id="c3"),
        ],
        FILE,
    )
    call, result, patch, broken = (one.tool for one in events(found).values())
    assert call is not None
    assert call.input == {"cmd": "ls"}
    assert result is not None
    assert (result.call_id, result.output, result.is_error) == ("c1", "x", True)
    assert patch is not None
    assert patch.input == "***"
    assert broken is not None
    assert broken.input == "{broken"


def test_tokens_are_counted_when_the_sum_has_grown() -> None:
    def told(total: int, last: int) -> dict[str, Any]:
        usage = {"input_tokens": last, "cached_input_tokens": 4, "output_tokens": 2, "total_tokens": last + 2}
        return event(
            "token_count", info={"last_token_usage": usage, "total_token_usage": {"total_tokens": total}}
        )

    found = parsed(
        "codex", [META, told(12, 10), told(12, 10), told(24, 10), event("token_count", info=None)], FILE
    )
    tokens = [one.tokens for one in events(found).values()]
    assert [(one.input, one.cache_read, one.output) for one in tokens if one] == [(6, 4, 2)] * 2


def test_a_copied_history_is_not_told_again() -> None:
    copied = [
        line("session_meta", id=OLDER, source="cli"),
        event("task_started", turn_id=OLDER),
        event("user_message", message="of the parent"),
        line("turn_context", turn_id=OLDER, model="old"),
        said("assistant", "of the parent"),
    ]
    own = [event("task_started", turn_id=YOUNGER), event("user_message", message="of the child")]
    assert of(*copied, *own) == [("message.user", "of the child")]


@pytest.mark.parametrize(
    ("source", "relation", "parent"),
    [
        ("cli", None, None),
        ({"subagent": {"thread_spawn": {"parent_thread_id": OLDER, "depth": 1}}}, "subagent", OLDER),
        ({"subagent": "review"}, "review", None),
    ],
)
def test_whose_a_file_is(source: Any, relation: str | None, parent: str | None) -> None:
    identity = Codex().identify(
        PurePath("/elsewhere/a.jsonl"), line("session_meta", id=THREAD, source=source)
    )
    assert identity is not None
    assert (identity.session_id, identity.relation, identity.parent_id) == (THREAD, relation, parent)


def test_a_moved_or_compressed_file_is_the_same_conversation() -> None:
    for name in (FILE, PurePath("/x/.codex/archived_sessions") / FILE.name, PurePath(f"{FILE}.zst")):
        identity = Codex().identify(name, META)
        assert identity is not None
        assert identity.session_id == THREAD


def test_a_real_fork_tells_what_is_its_own(samples: Path) -> None:
    path = samples / "codex" / "v0.118_forked_subagent_two_session_meta.jsonl"
    records = records_in(path)
    assert len(records) == 359
    assert len(events(parsed("codex", records, path))) < 20


def test_a_real_fork_counts_no_token_of_its_parent_again(samples: Path) -> None:
    folder = samples / "codex" / "fork_token_counts"
    parent, child = (
        events(parsed("codex", records_in(folder / name), folder / name))
        for name in ("parent.jsonl", "child.jsonl")
    )
    assert parent.keys() <= child.keys()
    assert len(child) - len(parent) == 16


def test_a_growing_file_only_adds(samples: Path) -> None:
    folder = samples / "codex" / "v0.126_desktop_image_growth"
    first, second, third = (
        list(events(parsed("codex", records_in(folder / name), FILE)))
        for name in ("t1.jsonl", "t2.jsonl", "t3.jsonl")
    )
    assert second[: len(first)] == first
    assert third[: len(second)] == second
