"""What an attacker may write into a chat without being the user: none of it is obeyed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from recordings import BEGAN, Chat, Desk
from stacks import TENANT

from minoots.contracts import EventType
from minoots_activities.capture.readers.aider import Aider
from minoots_activities.capture.readers.codex import Codex
from minoots_activities.capture.readers.copilot import Copilot
from minoots_activities.capture.readers.cursor import Cursor
from minoots_activities.capture.readers.qwen import Qwen
from minoots_activities.capture.readers.store import known
from minoots_platform.records import Database
from minoots_platform.records.conversations import Whose

COMMAND = "::export-notes stolen.md"


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    desk = Desk(database, tmp_path)
    desk.workspace()
    return desk


@pytest.fixture
def chat(desk: Desk) -> Chat:
    return desk.chat()


@pytest.mark.parametrize(
    "text",
    [
        f"<bash-stdout>one\n{COMMAND}\ntwo</bash-stdout><bash-stderr></bash-stderr>",
        f"<local-command-stdout>one </local-command-stdout>\n{COMMAND}\n</local-command-stdout>",
        f"<task-notification><result>done</task-notification>\n{COMMAND}\n</result></task-notification>",
        f"<system-reminder>file: </system-reminder>\n{COMMAND}\n</system-reminder>\nhello",
        f"<system-reminder>cut off\n{COMMAND}\n",
        f'<teammate-message teammate_id="x">\n{COMMAND}\n</teammate-message>',
        f"<local-command-stdout>cut off\n{COMMAND}\n",
        f"Base directory for this skill: /x\n\n{COMMAND}",
        f"This session is being continued from a previous conversation\n{COMMAND}",
    ],
)
async def test_what_a_program_put_in_is_not_obeyed(desk: Desk, chat: Chat, text: str) -> None:
    done = await chat.tell("hello", text)
    assert (done.obeyed, desk.names()) == (0, set())


async def test_words_to_a_sidechain_are_not_obeyed(desk: Desk, chat: Chat) -> None:
    chat.says("hello")
    chat.says(COMMAND, isSidechain=True)
    done = await chat.look()
    await desk.write()
    assert (done.obeyed, desk.names()) == (0, set())


async def test_a_queued_word_from_elsewhere_is_not_obeyed(desk: Desk, chat: Chat) -> None:
    chat.says("hello")
    chat.append(
        {
            "type": "attachment",
            "isSidechain": True,
            "agentId": "a1",
            "attachment": {"type": "queued_command", "prompt": COMMAND, "commandMode": "prompt"},
        }
    )
    done = await chat.look()
    assert done.obeyed == 0


async def test_a_file_that_is_mentioned_to_gemini_is_not_obeyed(desk: Desk) -> None:
    files = (
        f"--- Content from referenced files ---\nContent from @README.md:\n{COMMAND}\n--- End of content ---"
    )
    content = f"@README.md\n{files}"
    done = await desk.gemini(
        {"type": "user", "content": [{"text": content}], "displayContent": [{"text": "@README.md"}]}
    )
    assert done.obeyed == 0


@pytest.mark.parametrize("shape", ["parts", "text"])
async def test_a_file_that_is_mentioned_to_an_older_gemini_is_not_obeyed(desk: Desk, shape: str) -> None:
    # It says nowhere what was typed.
    parts = [
        "look at @README.md",
        "\n--- Content from referenced files ---",
        "\nContent from @README.md:\n",
        f"hello\n\n{COMMAND}\n\n--- Content from referenced files ---\n{COMMAND}",
        "\n--- End of content ---",
    ]
    content: Any = [{"text": part} for part in parts] if shape == "parts" else "".join(parts)
    assert (await desk.gemini({"type": "user", "content": content})).obeyed == 0
    assert (
        await desk.gemini({"type": "user", "content": content}, {"type": "user", "content": COMMAND})
    ).obeyed


async def test_a_file_that_is_mentioned_to_qwen_is_not_obeyed(desk: Desk) -> None:
    path = desk.folder / "chats" / "s.jsonl"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    parts = ["look at @README.md", "\n--- Content from referenced files ---", "\nContent from @README.md:\n"]
    message = {
        "parts": [{"text": text} for text in (*parts, f"hello\n\n{COMMAND}\n", "\n--- End of content ---")]
    }
    lines(path, {"type": "user", "uuid": "u1", "sessionId": "s", "timestamp": at, "message": message})
    await desk.read(path, Qwen())
    assert (await desk.obey(Whose("qwen", "s").id_for(TENANT))).obeyed == 0


def lines(path: Path, *records: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


A = "019b0000-0000-7000-8000-00000000000a"
B = "019b1000-0000-7000-8000-00000000000b"


async def test_what_was_selected_in_an_editor_is_not_obeyed(desk: Desk) -> None:
    path = desk.folder / "codex" / f"rollout-2026-07-01T10-00-00-{B}.jsonl"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    text = (
        "# Context from my IDE setup:\n## Active selection of the file:\n"
        f"## My request for Codex:\n{COMMAND}\n\n## My request for Codex:\nexplain"
    )
    lines(
        path,
        {"timestamp": at, "type": "session_meta", "payload": {"id": B}},
        {"timestamp": at, "type": "event_msg", "payload": {"type": "user_message", "message": text}},
    )
    await desk.read(path, Codex())
    assert (await desk.obey(Whose("codex", B).id_for(TENANT))).obeyed == 0


@pytest.mark.parametrize(
    "text",
    [
        f"<skill>\n<name>x</name>\n{COMMAND}\n</skill>",
        f"<user_shell_command>\n<command>cat x</command>\n{COMMAND}\n</user_shell_command>",
        f"<subagent_notification>\n{COMMAND}\n</subagent_notification>",
        f"<INSTRUCTIONS>\n{COMMAND}\n</INSTRUCTIONS>",
    ],
)
async def test_what_codex_put_into_the_history_is_not_obeyed(desk: Desk, text: str) -> None:
    path = desk.folder / "codex" / f"rollout-2026-07-01T10-00-00-{B}.jsonl"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    lines(
        path,
        {"timestamp": at, "type": "session_meta", "payload": {"id": B}},
        {
            "timestamp": at,
            "type": "response_item",
            "payload": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": text}],
            },
        },
        {"timestamp": at, "type": "event_msg", "payload": {"type": "user_message", "message": "hi"}},
    )
    await desk.read(path, Codex())
    assert (await desk.obey(Whose("codex", B).id_for(TENANT))).obeyed == 0


async def test_words_to_a_sub_agent_of_copilot_are_not_obeyed(desk: Desk) -> None:
    path = desk.folder / "copilot" / "s1" / "events.jsonl"
    at = (BEGAN + timedelta(seconds=1)).isoformat()
    lines(
        path,
        {"id": "1", "timestamp": at, "type": "session.start", "data": {"sessionId": "s1"}},
        {
            "id": "2",
            "timestamp": at,
            "type": "user.message",
            "data": {"content": COMMAND, "parentToolCallId": "call_1"},
        },
    )
    await desk.read(path, Copilot())
    assert (await desk.obey(Whose("copilot", "s1").id_for(TENANT))).obeyed == 0


async def test_a_crash_within_a_long_history_does_not_make_it_live(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.folder / "cursor" / "c1.jsonl"
    texts = [f"old {number}" for number in range(700)]
    texts[650] = COMMAND
    lines(path, *({"role": "user", "message": {"content": [{"type": "text", "text": t}]}} for t in texts))
    await desk.read(path, Cursor())
    whose = Whose("cursor", "c1").id_for(TENANT)

    class Died(BaseException):
        pass

    def dies() -> None:
        raise Died

    with pytest.raises(Died):
        await desk.obeying.conversation(whose, fresh=False, beat=dies)
    done = await desk.obeying.conversation(whose, fresh=False)
    assert done.obeyed == 0


async def test_an_old_history_that_is_read_in_two_parts_stays_old(desk: Desk) -> None:
    # The reading was interrupted (or the file was being copied), and what was there was looked through.
    path = desk.folder / "cursor" / "c1.jsonl"
    say = lambda text: {"role": "user", "message": {"content": [{"type": "text", "text": text}]}}  # noqa: E731
    lines(path, say("old"))
    await desk.read(path, Cursor())
    whose = Whose("cursor", "c1").id_for(TENANT)
    await desk.obeying.conversation(whose, fresh=False)
    path.unlink()
    lines(path, say("old"), say(COMMAND))
    await desk.read(path, Cursor())
    await desk.obeying.conversation(whose, fresh=False)


async def test_a_chat_of_aider_that_came_with_a_repository_is_not_obeyed(desk: Desk) -> None:
    path = desk.folder / "repo" / ".aider.chat.history.md"
    path.parent.mkdir()
    path.write_text(f"# aider chat started at 2020-01-01 00:00:00\n\n#### {COMMAND}  \n\nanswer\n")
    store = Aider().store_of(path, lambda p: p.open("rb"))
    assert store is not None
    [one] = list(known(store))
    await desk._ingest.session(Aider(), path, one.identity.session_id)
    # As the watcher tells of a file that came while it watched.
    assert not Aider.own
    done = await desk.obey(Whose("aider", one.identity.session_id).id_for(TENANT), fresh=Aider.own)
    assert done.obeyed == 0


async def test_a_command_in_a_chat_of_aider_is_refused_for_all_to_see(desk: Desk) -> None:
    path = desk.folder / "repo" / ".aider.chat.history.md"
    path.parent.mkdir()
    head = "# aider chat started at 2026-01-01 00:00:00\n\n#### hello  \n\nHi.\n"
    path.write_text(head)
    store = Aider().store_of(path, lambda p: p.open("rb"))
    assert store is not None
    [one] = list(known(store))
    whose = Whose("aider", one.identity.session_id).id_for(TENANT)
    await desk._ingest.session(Aider(), path, one.identity.session_id)
    await desk.obey(whose, fresh=False)
    # It stands in an answer, and looks as if it were typed.
    path.write_text(f"{head}\n#### {COMMAND}  \n\nanswer\n")
    await desk._ingest.session(Aider(), path, one.identity.session_id)
    done = await desk.obey(whose, fresh=False)
    assert (done.obeyed, done.refused) == (0, 1)
    [told] = await desk.told(EventType.CHAT_COMMAND_REFUSED)
    assert "minoots export" in told["reason"]
    assert await desk.rows() == []


async def test_old_history_with_a_time_in_the_future_is_not_obeyed(desk: Desk, chat: Chat) -> None:
    chat.says(COMMAND, timestamp="2099-01-01T00:00:00Z")
    done = await chat.look(fresh=False)
    assert done.obeyed == 0
