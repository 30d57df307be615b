"""Capture from a growing file to a recording, through Temporal."""

from __future__ import annotations

import functools
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from capturing import Chat, capturing
from stacks import TENANT, Stack, eventually, short_histories
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from minoots_platform.clock import utc_now
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.capture.contracts import CaptureStart, FileChanged
from minoots_workflows.capture.telling import has_work, tell_changed
from minoots_workflows.capture.workflow import CaptureWorkflow
from minoots_workflows.ids import workflow_id


def handle_of(stack: Stack, chat: Chat):
    return stack.client.get_workflow_handle_for(CaptureWorkflow.run, workflow_id("capture", TENANT, chat.id))


async def test_what_is_typed_in_a_chat_is_recorded_until_it_is_stopped(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("before it")
        chat.answer("not recorded")
        chat.say("please\n::record-notes\nfrom here on")
        chat.answer("the first")
        text = await host.recorded(chat, "the first")
        assert "not recorded" not in text
        assert "please" not in text
        assert "from here on" in text
        chat.answer("the second ü🦉")
        await host.recorded(chat, "the second ü🦉")
        chat.say("the last\n::stop\nnothing of this")
        chat.answer("nor this")
        await eventually(lambda: host.recording(chat), lambda row: row is not None and row.state == "stopped")
        text = await host.recorded(chat, "the last")
        assert "nothing of this" not in text
        assert "nor this" not in text
        assert (await handle_of(stack, chat).query(CaptureWorkflow.state)).obeyed == 2


async def test_a_command_that_cannot_be_obeyed_is_told_in_the_recording(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("::record-notes chat.md")
        chat.say("::record-nots")
        text = await host.recorded(chat, "there is no workspace nots; the nearest is notes")
        assert (host.workspace / "chat.md").read_text() == text


async def test_a_quiet_conversation_ends_and_comes_back(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path, idle=1) as host:
        chat = host.chat()
        chat.say("::record-notes chat.md")
        await host.recorded(chat, "record")
        first = await eventually(
            lambda: handle_of(stack, chat).describe(),
            lambda seen: seen.status is WorkflowExecutionStatus.COMPLETED,
        )
        chat.answer("here again")
        await host.recorded(chat, "here again")
        assert (await handle_of(stack, chat).describe()).run_id != first.run_id
        assert len(await host.events(chat)) == 2


async def test_who_has_something_to_do_already_is_not_told_again(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("hello")
        await eventually(lambda: host.events(chat), bool)
        assert not await has_work(stack.client, "capture", TENANT, "cnv_00000000000000000000000000")

        async def at_rest() -> bool:
            return not await has_work(stack.client, "capture", TENANT, chat.id)

        await eventually(at_rest, bool)

    # Nobody serves the queue of the host any more.
    file = FileChanged(
        tenant=TENANT, host="here", provider="claude", path=str(chat.path), conversation_id=chat.id
    )
    start = CaptureStart(tenant=TENANT, conversation_id=chat.id, host="here", name="a chat", idle_seconds=600)
    await tell_changed(stack.client, start, file)
    assert await has_work(stack.client, "capture", TENANT, chat.id)
    await handle_of(stack, chat).terminate("the test is over")


async def test_a_host_that_was_away_reads_what_it_missed_and_obeys_nothing_twice(
    stack: Stack, tmp_path: Path
) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("::record-notes chat.md")
        chat.answer("one")
        await host.recorded(chat, "one")
    chat.answer("two, while it was away")
    chat.say("::export-notes once.md")
    async with capturing(stack, tmp_path) as host:
        for name in ("once.md", "chat.md"):
            text = await eventually(
                functools.partial(_text_of, host.workspace / name), lambda found: "two, while" in found
            )
            assert text.count("two, while it was away") == 1
        assert sorted(path.name for path in host.workspace.glob("*.md")) == ["chat.md", "once.md"]


async def _text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_old_commands_are_never_obeyed(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("::record-notes old.md", utc_now() - timedelta(hours=1))
        chat.answer("long ago")
        chat.say("::record-notes new.md")
        chat.answer("just now")
        await host.recorded(chat, "just now")
        assert not (host.workspace / "old.md").exists()


async def test_a_transcript_that_moves_is_the_same_conversation(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        for number in range(5):
            chat.say(f"line {number}")
        await host.captured(chat, 5)
        moved = host.transcripts / "archive" / chat.path.name
        moved.parent.mkdir()
        shutil.move(chat.path, moved)
        chat.path = moved
        chat.say("after the move")
        found = await host.captured(chat, 6)
        assert [event.text for event in found] == [
            *(f"line {number}" for number in range(5)),
            "after the move",
        ]


async def test_nothing_that_was_said_stands_in_a_history(stack: Stack, tmp_path: Path) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("the secret of the tea")
        chat.say("::record-notes\nthe secret of the tea")
        await host.recorded(chat, "the secret of the tea")
        row = await host.recording(chat)
        assert row is not None
        assert "secret-of-the-tea" in row.path, "as the template says"
        for public_id in (
            workflow_id("capture", TENANT, chat.id),
            workflow_id("writer", TENANT, row.path_key),
        ):
            handle = stack.client.get_workflow_handle(public_id)
            history = await handle.fetch_history()
            assert len(history.events) > 3
            said = re.compile(rb"secret.of.the.tea")
            assert not any(said.search(event.SerializeToString()) for event in history.events)
            assert not said.search((await handle.describe()).raw_description.SerializeToString())


async def test_every_stage_shows_in_the_temporal_ui_and_no_word_of_the_chat(
    stack: Stack, tmp_path: Path
) -> None:
    async with capturing(stack, tmp_path) as host:
        chat = host.chat()
        chat.say("::record-notes\nthe sorrow of the samovar")
        chat.say("::record-nots")
        chat.answer("the token is ghp_" + "A1b2C3d4E5f6" * 3)
        await host.recorded(chat, "the token is")
        row = await host.recording(chat)
        assert row is not None
        assert "samovar" in row.path
        captures = stack.client.get_workflow_handle(workflow_id("capture", TENANT, chat.id))
        writer = stack.client.get_workflow_handle(workflow_id("writer", TENANT, row.path_key))

        async def details() -> str:
            return str(await captures.query("__temporal_workflow_metadata", result_type=dict))

        shown = await eventually(details, lambda told: "1 command obeyed, 1 refused" in told)
        for stage in ("| ingest |", "| normalise | 3 new events", "| redact | 1 secret", "| write |"):
            assert stage in shown
        assert "samovar" not in shown
        name = f"{row.alias} {row.id}"
        assert await (await writer.describe()).static_summary() == name
        summaries = set()
        for handle in (captures, writer):
            for event in (await handle.fetch_history()).events:
                assert b"samovar" not in event.SerializeToString()
                if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                    summaries.add(json.loads(event.user_metadata.summary.data))
        assert summaries == {
            "ingest, normalise, redact: claude",
            "gate: commands and policy",
            f"write: {name}",
        }


@pytest.mark.timeout(400)
async def test_a_long_conversation_keeps_its_histories_short(
    sqlite_database: Database, telemetry: Telemetry, tmp_path: Path
) -> None:
    async with (
        short_histories(sqlite_database, telemetry) as stack,
        capturing(stack, tmp_path) as host,
    ):
        chat = host.chat()
        chat.say("::record-notes chat.md")
        for number in range(12):
            chat.answer(f"answer {number}.")
            await host.recorded(chat, f"answer {number}.")
        text = (host.workspace / "chat.md").read_text()
        assert [text.count(f"answer {number}.") for number in range(12)] == [1] * 12
        runs = [
            run
            async for run in stack.client.list_workflows(
                f"WorkflowId = '{workflow_id('capture', TENANT, chat.id)}'"
            )
        ]
        assert len(runs) > 1, "it has continued as new"
