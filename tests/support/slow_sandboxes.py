"""A worker of sandboxes that takes its time to open and to end one, for what comes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from stacks import Stack, eventually
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.worker import Worker

from minoots_activities.jobs.working import beating
from minoots_activities.standing.adapter import StandingSandboxes
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, sandbox_progress
from minoots_workflows.pacing import Subject
from minoots_workflows.queues import Queue, sandboxes_of
from minoots_workflows.sandboxes.contracts import SandboxAnswer, SandboxCall, SandboxHeld, SandboxWatched
from minoots_workflows.sandboxes.port import HoldingPort, OpeningPort
from minoots_workflows.sandboxes.workflow import SandboxWorkflow

HOLDER = sandboxes_of("slow")


class SlowSandboxes(OpeningPort, HoldingPort):
    """Opens and ends sandboxes that have nothing in them, when it is let.

    Attributes:
        opens: whether an opening comes to its end by itself.
        called_off: set when an opening was called off, and has not ended.
        closing: set when one is being ended, and has not been.
        may_end: lets both end.
        broken: how often ending one was called off.
        closed: how often one was ended.
    """

    def __init__(self, database: Database, *, opens: bool) -> None:
        self._database = database
        self.opens = opens
        self.called_off = asyncio.Event()
        self.closing = asyncio.Event()
        self.may_end = asyncio.Event()
        self.broken = 0
        self.closed = 0

    @activity.defn(name="sandboxes.open")
    async def open(self, sandbox: Subject) -> None:
        """Open one, or wait until that is called off."""
        async with beating():
            if not self.opens:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.called_off.set()
                    await self.may_end.wait()
                    raise
            async with self._database.write() as connection:
                opening = await sandbox_progress.begin(connection, sandbox.tenant, sandbox.id, utc_now())
                assert opening is not None
                await sandbox_progress.opened(connection, opening, HOLDER, {}, utc_now())

    @activity.defn(name="sandboxes.hold")
    async def hold(self, held: SandboxHeld) -> SandboxWatched:
        """Hold one until nobody wants to know any more."""
        async with beating():
            await asyncio.Event().wait()
        raise AssertionError

    @activity.defn(name="sandboxes.call")
    async def call(self, call: SandboxCall) -> SandboxAnswer:
        """Answer nothing."""
        return SandboxAnswer()

    @activity.defn(name="sandboxes.close")
    async def close(self, held: SandboxHeld) -> None:
        """End one when it may be."""
        self.closing.set()
        async with beating():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.broken += 1
                raise
        self.closed += 1


@asynccontextmanager
async def slowly(stack: Stack, *, opens: bool) -> AsyncIterator[SlowSandboxes]:
    """Have sandboxes seen to by one that is slow instead of the workers of a stack."""
    await stack.stop_workers()
    slow = SlowSandboxes(stack.database, opens=opens)
    records = StandingSandboxes(stack.database, utc_now)
    # A heartbeat tells of a cancel, and the library sends one in eight seconds otherwise.
    often: dict[str, Any] = {"max_heartbeat_throttle_interval": timedelta(milliseconds=200)}
    holding = [slow.hold, slow.call, slow.close]
    try:
        async with (
            Worker(stack.client, task_queue=Queue.CORE, workflows=[SandboxWorkflow]),
            Worker(stack.client, task_queue=Queue.IO, activities=[records.next]),
            Worker(stack.client, task_queue=Queue.SANDBOX, activities=[slow.open], **often),
            Worker(stack.client, task_queue=HOLDER, activities=holding, **often),
        ):
            yield slow
    finally:
        await stack.start_workers()


async def cancelled(handle: WorkflowHandle[Any, Any]) -> None:
    """Cancel a workflow, as an operator does; it has heard of that when this returns."""
    await handle.cancel()

    async def heard() -> bool:
        kinds = [event.event_type for event in (await handle.fetch_history()).events]
        asked = kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
        return EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in kinds[asked:]

    await eventually(heard, bool)
