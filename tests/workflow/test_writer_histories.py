"""Files that are recorded into for long: their writer continues as new, and everything is written, once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from capturing import CapturingHost, Chat, capturing
from stacks import TENANT, Stack, eventually, short_histories
from temporalio.client import WorkflowExecution, WorkflowExecutionStatus

from minoots.contracts import EventType
from minoots_platform.records import Database, schema
from minoots_platform.telemetry import Telemetry
from minoots_workflows.capture.writer import WriterWorkflow
from minoots_workflows.ids import workflow_id
from minoots_workflows.pacing import Moved

pytestmark = pytest.mark.timeout(400)


async def writer_of(host: CapturingHost, chat: Chat) -> str:
    """The id of the workflow that writes the latest recording of a conversation."""
    row = await eventually(lambda: host.recording(chat), lambda found: found is not None)
    assert row is not None
    return workflow_id("writer", TENANT, row.path_key)


async def runs_of(stack: Stack, public_id: str) -> list[WorkflowExecution]:
    """Every run of a workflow, the oldest first."""
    found = [run async for run in stack.client.list_workflows(f"WorkflowId = '{public_id}'")]
    return sorted(found, key=lambda run: run.start_time)


async def ended(stack: Stack, public_id: str) -> list[WorkflowExecution]:
    """Every run of a workflow, once the last has completed."""
    return await eventually(
        lambda: runs_of(stack, public_id),
        lambda runs: bool(runs) and runs[-1].status is WorkflowExecutionStatus.COMPLETED,
    )


async def told(stack: Stack, type: EventType) -> int:
    """How often the feed was told of something."""
    query = sa.select(sa.func.count()).select_from(schema.events).where(schema.events.c.type == type.value)
    async with stack.database.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def test_a_long_recording_keeps_the_histories_of_its_writer_short(
    sqlite_database: Database, telemetry: Telemetry, tmp_path: Path
) -> None:
    async with (
        short_histories(sqlite_database, telemetry) as stack,
        capturing(stack, tmp_path) as host,
    ):
        chat = host.chat()
        chat.say("::record-notes chat.md\nfirst of all")
        for number in range(9):
            chat.answer(f"answer {number}.")
            await host.recorded(chat, f"answer {number}.")
        chat.say("last of all\n::stop\nnothing of this")
        chat.answer("nor this")
        writer = await writer_of(host, chat)
        *earlier, last = await ended(stack, writer)
        assert len(earlier) > 0, "it has continued as new"
        assert {run.status for run in earlier} == {WorkflowExecutionStatus.CONTINUED_AS_NEW}
        assert (await stack.client.get_workflow_handle_for(WriterWorkflow.run, writer).result()).over
        text = (host.workspace / "chat.md").read_text()
        expected = ["first of all", *(f"answer {number}." for number in range(9)), "last of all"]
        assert [line for line in text.splitlines() if line in expected] == expected
        assert "this" not in text
        assert await told(stack, EventType.RECORDING_STOPPED) == 1
        for run in (*earlier, last):
            handle = stack.client.get_workflow_handle(writer, run_id=run.run_id)
            assert len((await handle.fetch_history()).events) < 60


async def test_moves_that_come_while_a_writer_begins_anew_are_not_lost(
    sqlite_database: Database, telemetry: Telemetry, tmp_path: Path
) -> None:
    async with (
        short_histories(sqlite_database, telemetry) as stack,
        capturing(stack, tmp_path) as host,
    ):
        chat = host.chat()
        chat.say("::record-notes chat.md")
        await host.recorded(chat, "record")
        writer = stack.client.get_workflow_handle_for(WriterWorkflow.run, await writer_of(host, chat))
        # Nobody waits for anything: signals come at any moment, also at that of the change of runs.
        for number in range(12):
            chat.answer(f"answer {number}.")
            await asyncio.gather(*(writer.signal(WriterWorkflow.moved, Moved(what="x")) for _ in range(8)))
        await host.recorded(chat, "answer 11.")
        text = (host.workspace / "chat.md").read_text()
        found = [line for line in text.splitlines() if line.startswith("answer ")]
        assert found == [f"answer {number}." for number in range(12)]
        runs = await runs_of(stack, writer.id)
        assert len(runs) > 1, "it has continued as new"
        state = await writer.query(WriterWorkflow.state)
        assert (state.over, state.problem) == (False, None)
        # What goes into the file afterwards goes through the same workflow, also after it has ended.
        chat.say("::stop")
        await ended(stack, writer.id)
        chat.say("::record-notes chat.md\nonce more")
        chat.answer("and an answer")
        text = await host.recorded(chat, "and an answer")
        assert text.count("once more") == 1
        assert len(await runs_of(stack, writer.id)) > len(runs)


async def test_a_writer_that_waits_for_its_folder_begins_anew_and_still_writes(
    sqlite_database: Database, telemetry: Telemetry, tmp_path: Path
) -> None:
    async with (
        short_histories(sqlite_database, telemetry, 20) as stack,
        capturing(stack, tmp_path) as host,
    ):
        chat = host.chat()
        chat.say("::record-notes chat.md")
        await host.recorded(chat, "record")
        writer = stack.client.get_workflow_handle_for(WriterWorkflow.run, await writer_of(host, chat))
        away = host.workspace.rename(host.workspace.with_name("away"))
        chat.answer("while it was away")

        async def state() -> str | None:
            return (await writer.query(WriterWorkflow.state)).problem

        await eventually(state, lambda problem: problem is not None)
        before = len(await runs_of(stack, writer.id))

        async def runs() -> int:
            await writer.signal(WriterWorkflow.moved, Moved(what="x"))
            return len(await runs_of(stack, writer.id))

        await eventually(runs, lambda count: count > before)
        away.rename(host.workspace)
        await writer.signal(WriterWorkflow.moved, Moved(what="x"))
        text = await host.recorded(chat, "while it was away")
        assert text.count("while it was away") == 1
        await eventually(state, lambda problem: problem is None)
        assert await told(stack, EventType.RECORDING_TROUBLED) == 1
        assert await told(stack, EventType.RECORDING_RECOVERED) == 1
