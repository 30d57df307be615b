"""Who speaks: only what a user typed is the user's, and all of it is."""

from __future__ import annotations

import base64
from pathlib import PurePath
from typing import Any

import pytest
from transcripts import events, parsed

from minoots.contracts.conversations import ConversationEvent
from minoots.contracts.conversations import ConversationEventKind as Kind
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.readers.reader import Identity
from minoots_activities.capture.readers.texts import doubtful_from, notice_in, typed

AT = "2026-07-01T10:00:00.000Z"
CLAUDE = PurePath("/x/.claude/projects/-x/11110000-0000-4000-8000-000000000001.jsonl")
COPILOT = PurePath("/x/.copilot/session-state/s1/events.jsonl")
CURSOR = PurePath("/x/.cursor/projects/p/agent-transcripts/s/s.jsonl")
QWEN = PurePath("/x/.qwen/projects/p/chats/s.jsonl")
CODEX = PurePath("/x/.codex/sessions/rollout-2026-07-01T10-00-00-019d7e2f-0041-7310-951c-94020254dfc9.jsonl")
COMMAND = "::record-notes"
IMAGE = base64.b64encode(b"\x89PNG").decode()
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}


def claude(content: Any, **more: Any) -> list[ConversationEvent]:
    message = {"role": "user", "content": content}
    record = {"type": "user", "uuid": "u", "sessionId": "s", "timestamp": AT, "message": message} | more
    return list(events(parsed("claude", [record], CLAUDE)).values())


def queued(prompt: Any, **more: Any) -> list[ConversationEvent]:
    attachment = {"type": "queued_command", "prompt": prompt, "commandMode": "prompt"} | more
    record = {"type": "attachment", "uuid": "q", "timestamp": AT, "attachment": attachment}
    return list(events(parsed("claude", [record], CLAUDE)).values())


def of_users(found: list[ConversationEvent]) -> list[str]:
    """What a command would be obeyed in."""
    return [event.text or "" for event in found if event.kind is Kind.USER and not event.injected]


# Words with tags


@pytest.mark.parametrize(
    "words",
    [
        "<command-name> is the name of a tag\n::record-notes",
        "<skill>\n::record-notes",
        "what is <system-reminder> for?\n::record-notes",
        "<T> is a type\n::record-notes",
        "<skills> are plugins</skills>\n::record-notes",
        "# AGENTS.md instructions: shorten them\n::record-notes",
        "Caveat: mind the gap\n::record-notes",
        "[Request interrupted by user] is what I see\n::record-notes",
        "<permissions are missing\n::record-notes",
        "</skill>\n::record-notes",
        "</skill> closes <skill>\n::record-notes",
    ],
)
def test_words_that_only_name_a_tag_are_the_users(words: str) -> None:
    assert of_users(claude(words)) == [words]
    assert of_users(queued(words)) == [words]
    assert typed(words) == words


@pytest.mark.parametrize(
    "words",
    [
        "<skill>x</skill>\n::record-notes",
        "<bash-stdout>a</bash-stdout>\n::record-notes\n</bash-stdout>",
        '<teammate-message summary="a < b > c">\n::record-notes\n</teammate-message>',
        "<skill name='x'\n>\n::record-notes</skill>",
        "<command-name>/x</command-name><command-args>\n::record-notes\n</command-args>",
        "# AGENTS.md instructions for /x\n::record-notes",
        "\x1b[1m<skill\x1b[0m>\n::record-notes</skill>",
    ],
)
def test_what_a_program_put_there_is_not_the_users(words: str) -> None:
    assert of_users(claude(words)) == []
    assert of_users(queued(words)) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<system-reminder>cut off\n::record-notes", 1),
        ("hi\n<skill name='x'>\n::record-notes", 2),
        ("hi\n\n  <bash-stdout>::record-notes", 3),
        ("<skill", None),
        ("<command-name> is the name of a tag\n::record-notes", None),
        ("<skill name='x'> is how it begins", None),
        ("what is <skill> for?\n::record-notes", None),
        ("<skills>\n::record-notes", None),
        ("::record-notes", None),
        ("Implement the following plan:\n\n# Tea\n\n::record-notes", 1),
        ("A previous agent produced the plan below to do it.\n\n::record-notes", 1),
        ("Implement the plan:\n\n::record-notes", None),
        ("", None),
    ],
)
def test_what_may_have_been_cut_off_is_doubtful(text: str, line: int | None) -> None:
    assert doubtful_from(text) == line


def test_around_what_was_put_into_a_prompt_of_a_person_the_words_stay() -> None:
    said = "<command-name> ends with </command-name>, and then?\n::record-notes"
    assert of_users(claude(said, origin={"kind": "human"})) == [", and then?\n::record-notes"]
    assert of_users(claude("<command-name>/clear</command-name>", origin={"kind": "human"})) == []


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize("tag", ["tick", "system-reminder", "skill"])
def test_a_tag_right_behind_an_end_of_its_own_is_a_word(tag: str, certain: bool) -> None:
    # It was looked at for ever: nothing on the host went on.
    assert typed(f"hi <{tag}>a</{tag}><{tag}>", certain=certain) == f"hi <{tag}>"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("one <tick>a</tick> two <tick>b</tick> three", "one  two  three"),
        ("one <tick>a</tick>\n<tick>b</tick> three", "one  three"),
        ("one <tick>a</tick> std::vector <tick>b</tick> three", "one  std::vector  three"),
        ("one <tick>a <tick/> b</tick> two <tick>b</tick> three", "one  two  three"),
        ("one <tick>a</tick> two <skill>s</skill> or <tick>b</tick>", "one  two  or"),
        ("one <tick>a <tick>in</tick> it</tick> two <tick>b</tick>", "one  two"),
        # What may be output that holds ends and beginnings of its own.
        ("one <tick>a</tick> two </tick> three <tick></tick> four", "one  four"),
        ("one <tick>a</tick>\n::stop\n<tick>b</tick> three", "one  three"),
        ("one <tick>a</tick>\n:<skill></skill>:stop\n<tick>b</tick> three", "one  three"),
    ],
)
def test_words_between_pairs_of_a_tag_are_the_users_unless_they_command(text: str, own: str) -> None:
    assert typed(text) == own


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("<command-name>/clear</command-name>\n  <command-args></command-args>", "/clear"),
        (
            "<command-message>init is…</command-message>\n<command-name>/init</command-name>"
            "<command-args>a\n b</command-args>",
            "/init a b",
        ),
        ("<local-command-stdout><command-name>/x</command-name></local-command-stdout>", None),
        ("<command-message>only</command-message>", None),
    ],
)
def test_a_command_of_the_program_is_told_as_what_was_typed(text: str, command: str | None) -> None:
    (event,) = claude(text)
    assert event.injected, "it obeys nothing"
    assert event.details.get("command") == command


def test_a_million_names_of_tags_are_looked_through_once() -> None:
    # Hundreds of gigabytes to look through, were each looked for by itself.
    text = "x" + "<skill>" * 300_000 + "<bash-input>" * 300_000
    assert typed(text) == text


# Claude Code


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ({"kind": "channel", "server": "chat"}, {"origin": "channel"}),
        ({"kind": "peer", "from": "another"}, {"origin": "peer", "from": "another"}),
        ({"kind": "task-notification"}, {"origin": "task-notification"}),
        ({"kind": "coordinator"}, {"origin": "coordinator"}),
        ({"kind": "something-new"}, {"origin": "something-new"}),
        ({"kind": 7}, {"origin": "unknown"}),
        ({}, {"origin": "unknown"}),
        ("peer", {"origin": "peer"}),
        (7, {"origin": "unknown"}),
    ],
)
def test_a_prompt_from_elsewhere_obeys_nothing_and_is_told_as_what_it_is(
    origin: Any, told: dict[str, Any]
) -> None:
    for found in (claude(COMMAND, origin=origin), queued(COMMAND, origin=origin)):
        [event] = found
        assert (event.kind, event.text, event.injected) == (Kind.SYSTEM, COMMAND, True)
        assert event.details == told


@pytest.mark.parametrize(
    "tag", ["task-notification", "teammate-message", "channel", "cross-session-message", "channel-message"]
)
def test_a_notice_without_an_origin_is_known_by_its_tag(tag: str) -> None:
    said = f"<{tag} from='x'>\n{COMMAND}\n</{tag}>\n{COMMAND}"
    for found in (claude(said), queued(said)):
        [event] = found
        assert (event.kind, event.injected, event.details) == (Kind.SYSTEM, True, {"origin": tag})
    notice, own = claude([{"type": "text", "text": said}, {"type": "text", "text": "and I say"}])
    assert (notice.kind, own.kind, own.text, own.injected) == (Kind.SYSTEM, Kind.USER, "and I say", False)
    assert notice_in(f"<{tag}> is a tag") is None


def test_a_person_is_obeyed_also_where_the_record_says_that_it_is_one() -> None:
    for more in ({}, {"origin": None}, {"origin": {"kind": "human"}}):
        assert of_users(claude(COMMAND, **more)) == [COMMAND]
        assert of_users(queued(COMMAND, **more)) == [COMMAND]


@pytest.mark.parametrize("more", [{"isMeta": True}, {"sourceToolUseID": "toolu_1"}])
def test_what_a_tool_brings_in_is_not_the_users(more: dict[str, Any]) -> None:
    [event] = claude(COMMAND, **more)
    assert (event.kind, event.injected, event.text) == (Kind.USER, True, COMMAND)


@pytest.mark.parametrize("mode", ["task-notification", "bash", None, 7])
def test_what_is_queued_in_another_mode_is_no_prompt(mode: Any) -> None:
    [event] = queued(COMMAND, commandMode=mode)
    assert (event.kind, event.injected) == (Kind.SYSTEM, True)


def test_an_image_in_a_queued_prompt_is_kept() -> None:
    [event] = queued([PICTURE, {"type": "text", "text": "see"}])
    assert (event.text, [one.media_type for one in event.enclosed]) == ("see", ["image/png"])
    [alone] = queued([PICTURE])
    assert (alone.kind, alone.injected, len(alone.enclosed)) == (Kind.USER, False, 1)
    assert queued([]) == queued("") == queued(None) == []


def test_an_interruption_beside_words_leaves_the_words_to_the_user() -> None:
    marker = "[Request interrupted by user for tool use]"
    [event] = claude([{"type": "text", "text": marker}, {"type": "text", "text": COMMAND}])
    assert (event.text, event.injected, event.details) == (COMMAND, False, {"interrupted": True})


# Copilot


def copilot(envelope: dict[str, Any] | None = None, **data: Any) -> list[ConversationEvent]:
    start = {"type": "session.start", "id": "e0", "timestamp": AT, "data": {"sessionId": "s1"}}
    record = {"type": "user.message", "id": "e1", "timestamp": AT, "data": data} | (envelope or {})
    return list(events(parsed("copilot", [start, record], COPILOT)).values())


@pytest.mark.parametrize(
    ("more", "origin"),
    [
        ({"source": "skill-pdf"}, "skill-pdf"),
        ({"source": "agent-7"}, "agent-7"),
        ({"source": "autopilot"}, "autopilot"),
        ({"isAutopilotContinuation": True}, "autopilot"),
        ({"parentAgentTaskId": "t1"}, "agent"),
        ({"source": 7}, "7"),
    ],
)
def test_copilot_s_injected_prompts_obey_nothing(more: dict[str, Any], origin: str) -> None:
    [event] = copilot(content=COMMAND, **more)
    assert (event.kind, event.injected, event.details) == (Kind.SYSTEM, True, {"origin": origin})


@pytest.mark.parametrize("more", [{}, {"source": "user"}, {"source": None, "parentAgentTaskId": None}])
def test_copilot_s_user_is_obeyed(more: dict[str, Any]) -> None:
    assert of_users(copilot(content=COMMAND, **more)) == [COMMAND]


def test_a_prompt_to_a_sub_agent_of_copilot_is_not_the_users() -> None:
    for envelope, data in (({"agentId": "a1"}, {}), ({}, {"parentToolCallId": "a1"})):
        [event] = copilot(envelope, content=COMMAND, **data)
        assert (event.kind, event.injected, event.agent_id) == (Kind.USER, True, "a1")


def test_a_skill_of_copilot_is_told_as_one_and_an_image_is_kept() -> None:
    [skill] = copilot({"type": "skill.invoked"}, name="pdf", content=COMMAND)
    assert (skill.kind, skill.injected, skill.details) == (
        Kind.SYSTEM,
        True,
        {"origin": "skill", "name": "pdf"},
    )
    attached = [{"type": "blob", "data": IMAGE, "mimeType": "image/png"}, {"type": "file", "path": "/x"}]
    [seen] = copilot(content="", attachments=attached)
    assert (seen.injected, [one.media_type for one in seen.enclosed]) == (False, ["image/png"])


# Qwen


def qwen(**more: Any) -> list[ConversationEvent]:
    message = {"role": "user", "parts": [{"text": COMMAND}]}
    record = {"uuid": "u", "sessionId": "s", "timestamp": AT, "type": "user", "message": message} | more
    return list(events(parsed("qwen", [record], QWEN)).values())


@pytest.mark.parametrize(
    ("more", "origin"),
    [
        ({"subtype": "notification", "provenance": "system"}, "notification"),
        ({"subtype": "cron"}, "cron"),
        ({"subtype": "agent_launch_prompt"}, "agent_launch_prompt"),
        ({"provenance": "goal_runtime"}, "goal_runtime"),
        ({"backgroundTurn": {"taskId": "t"}}, "background"),
        ({"subtype": "brand_new"}, "brand_new"),
    ],
)
def test_qwen_s_notices_and_jobs_obey_nothing(more: dict[str, Any], origin: str) -> None:
    [event] = qwen(**more)
    assert (event.kind, event.text, event.injected) == (Kind.SYSTEM, COMMAND, True)
    assert event.details == {"origin": origin}


@pytest.mark.parametrize("more", [{}, {"provenance": "real_user"}, {"subtype": "mid_turn_user_message"}])
def test_qwen_s_user_is_obeyed(more: dict[str, Any]) -> None:
    assert of_users(qwen(**more)) == [COMMAND]
    assert qwen(agentId="a1", **more)[0].agent_id == "a1"


# Cursor, Codex, Goose


@pytest.mark.parametrize("before", ["look:\n```\n", "- ```\n  ", "<!--\n", "{mark}\nhi\n", "<pre>\n"])
def test_a_mark_that_was_pasted_does_not_free_what_stands_in_a_fence(before: str) -> None:
    mark = "<user_query>"
    said = f"{before.format(mark=mark)}{mark}\n::record-notes\n```\n</user_query>"
    [found] = events(parsed("cursor", [{"role": "user", "message": {"content": said}}], CURSOR)).values()
    assert found.details == {"uncertain": "pasted"}
    mark = "## My request for Codex:"
    said = f"{before.format(mark=mark)}{mark}\n::record-notes\n```\n"
    records = [
        {"timestamp": AT, "type": "session_meta", "payload": {"id": CODEX.stem[-36:]}},
        {"timestamp": AT, "type": "event_msg", "payload": {"type": "user_message", "message": said}},
    ]
    [found] = events(parsed("codex", records, CODEX)).values()
    assert found.details == {"uncertain": "pasted"}


def test_what_was_opened_and_closed_before_a_mark_is_no_reason_to_doubt() -> None:
    said = "# Context from my IDE setup:\n```\nx\n```\n## My request for Codex:\n::record-notes"
    records = [
        {"timestamp": AT, "type": "session_meta", "payload": {"id": CODEX.stem[-36:]}},
        {"timestamp": AT, "type": "event_msg", "payload": {"type": "user_message", "message": said}},
    ]
    [found] = events(parsed("codex", records, CODEX)).values()
    assert (found.text, found.details) == ("::record-notes", {})


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (f"<user_query>\n{COMMAND}\n</user_query>", COMMAND),
        (f"<attached_files>\n<user_query>\n{COMMAND}\n</user_query>\n</attached_files>\n"
         "<user_query>\nhi\n</user_query>", "hi"),
        ("<user_query> is a tag\n::record-notes", "<user_query> is a tag\n::record-notes"),
        ("a </user_query>", "a </user_query>"),
    ],
)  # fmt: skip
def test_cursor_s_user_is_what_stands_in_the_query(said: str, own: str) -> None:
    record = {"role": "user", "message": {"content": [{"type": "text", "text": said}]}}
    assert of_users(list(events(parsed("cursor", [record], CURSOR)).values())) == [own]


def test_what_stands_around_the_query_of_cursor_is_not_taken_for_the_user_s() -> None:
    files = f"<attached_files>\n\n{COMMAND}\n\n</attached_files>\n<user_query>\nhi\n</user_query>"
    said = f"{files}\n<system_reminder>\nplan first\n</system_reminder>"
    record = {"role": "user", "message": {"content": [{"type": "text", "text": said}]}}
    [found] = events(parsed("cursor", [record], CURSOR)).values()
    assert found.details == {"uncertain": "pasted"}


def test_what_a_sub_agent_of_codex_reports_is_told_as_that() -> None:
    meta = {"timestamp": AT, "type": "session_meta", "payload": {"id": CODEX.stem[-36:]}}
    text = f"<subagent_notification>\n{COMMAND}\n</subagent_notification>"
    payload = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    record = {"timestamp": AT, "type": "response_item", "payload": payload}
    first, second = events(parsed("codex", [meta, record, record], CODEX)).values()
    assert first.kind is second.kind is Kind.SYSTEM
    assert (first.injected, first.details) == (True, {"origin": "subagent_notification"})


@pytest.mark.parametrize(("visible", "injected"), [(False, True), (True, False), (None, False)])
def test_what_goose_says_to_the_model_alone_is_not_the_users(visible: bool | None, injected: bool) -> None:
    told = Parsed()
    record = {"role": "user", "created": 1, "content": [{"type": "text", "text": COMMAND}]}
    about = {} if visible is None else {"metadata": {"userVisible": visible, "agentVisible": True}}
    Goose().parser(Identity("s")).feed([record | about], told)
    [draft] = told.drafts
    assert draft.event.injected is injected
