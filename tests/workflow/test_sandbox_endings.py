"""Sandboxes that stand end for certain: whoever cancels, whenever that is, and however much they are used."""

from __future__ import annotations

import asyncio

import pytest
from slow_sandboxes import cancelled, slowly
from stacks import TENANT, Stack, eventually, short_histories
from standing import close, get, opened, put, reaches, use, want
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError

from minoots.contracts import CloseReason, SandboxState
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id
from minoots_workflows.sandboxes.contracts import SandboxDoes


async def test_a_cancel_while_a_sandbox_is_ended_does_not_break_that_and_is_honoured(stack: Stack) -> None:
    async with slowly(stack, opens=True) as slow:
        sandbox = await opened(stack)
        handle = stack.client.get_workflow_handle(workflow_id("sandbox", TENANT, sandbox.id))
        await close(stack, sandbox)
        async with asyncio.timeout(60):
            await slow.closing.wait()
        await cancelled(handle)
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING, "it is ended first"
        slow.may_end.set()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert isinstance(ended.value.cause, CancelledError)
        assert (slow.broken, slow.closed) == (0, 1)
    closed = await get(stack, sandbox)
    assert (closed.state, closed.reason) == (SandboxState.CLOSED, CloseReason.REQUESTED)


async def test_a_cancel_while_an_opening_is_called_off_is_honoured(stack: Stack) -> None:
    async with slowly(stack, opens=False) as slow:
        sandbox = await want(stack)
        assert await stack.handover.sandbox(sandbox.id)
        handle = stack.client.get_workflow_handle(workflow_id("sandbox", TENANT, sandbox.id))

        async def is_opening() -> bool:
            pending = (await handle.describe()).raw_description.pending_activities
            return any(one.activity_type.name == "sandboxes.open" for one in pending)

        await eventually(is_opening, bool)
        # Something has happened to it, and whoever opens it is asked to stop; it may well go on afterwards.
        assert await stack.handover.sandbox(sandbox.id, "looked at")
        async with asyncio.timeout(60):
            await slow.called_off.wait()
        await cancelled(handle)
        slow.may_end.set()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert isinstance(ended.value.cause, CancelledError)
    closed = await reaches(stack, sandbox, SandboxState.CLOSED)
    assert (closed.opened, closed.reason) == (0, CloseReason.OPERATOR)


async def test_calls_that_overlap_for_ever_do_not_keep_it_from_a_new_history_and_none_is_lost(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        sandbox = await opened(stack)
        handle = stack.client.get_workflow_handle(workflow_id("sandbox", TENANT, sandbox.id))
        first = (await handle.describe()).run_id
        moved_on = asyncio.Event()
        asked = [0]

        async def keep_asking(number: int) -> None:
            while not moved_on.is_set():
                asked[0] += 1
                await put(stack, sandbox, f"file-{number}", str(asked[0]).encode())

        async with asyncio.timeout(180), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(keep_asking(number))
            await eventually(handle.describe, lambda found: found.run_id != first, 150)
            moved_on.set()
        listed = await use(stack, sandbox, SandboxDoes.LIST, most=100)
        assert len(listed["items"]) == 8
        assert (await get(stack, sandbox)).opened == 1, "the same one"
        await close(stack, sandbox)
        await reaches(stack, sandbox, SandboxState.CLOSED)
