"""What this worker is at: work of a job goes on when Temporal has lost sight of it, and is found again.

Owns the one task of a job's work, whoever waits for it. A Temporal that was away for longer than it waits for
signs of life takes the activity for dead when it is back, and begins it again: here that is to wait for what
still runs. Whether the job is wanted stands in the records, and the work looks at these by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from minoots_platform.telemetry import get_logger
from minoots_workflows.jobs.contracts import StepDone

from .working import beating

_LOOK: Final = 2.0
"""Seconds between two looks whether the workflow of lost work is still there."""
_GONE: Final = StepDone(state="")


@dataclass
class _Work:
    """Work of a job.

    Attributes:
        taken: set when somebody else waits for it.
    """

    task: asyncio.Task[StepDone]
    taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def end(self) -> None:
        """Stop it; it has stopped when this returns."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Underway:
    """What a worker is at, by job."""

    def __init__(self) -> None:
        self._works: dict[str, _Work] = {}

    async def do(self, job_id: str, work: Callable[[], Coroutine[Any, Any, StepDone]]) -> StepDone:
        """Return what comes of work of a job; of what is under way already, when there is any.

        Within an activity: who cancels that ends the work, but Temporal that has lost sight of it does not.
        """
        mine = self._works.get(job_id)
        if mine is None:
            mine = self._works[job_id] = _Work(asyncio.create_task(work()))
            mine.task.add_done_callback(lambda task: self._over(job_id, task))
        else:
            get_logger("minoots.jobs").info("job.found_again", job_id=job_id)
            mine.taken.set()
            mine.taken = asyncio.Event()
        taken = mine.taken
        async with beating():
            try:
                return await asyncio.shield(mine.task)
            except asyncio.CancelledError:
                if mine.task.done() or not _lost():
                    # Whatever runs has stopped before anybody is told so.
                    await mine.end()
                    raise
        get_logger("minoots.jobs").warning("job.out_of_sight", job_id=job_id)
        return await _until_found(mine, taken)

    def _over(self, job_id: str, task: asyncio.Task[StepDone]) -> None:
        del self._works[job_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever waits has it, too; there may be nobody.
            get_logger("minoots.jobs").info("job.work_failed", job_id=job_id, error=type(error).__name__)


async def _until_found(mine: _Work, taken: asyncio.Event) -> StepDone:
    """Keep the place of work that Temporal has lost sight of, until it has ended or is waited for again."""
    ends = {
        asyncio.create_task(_until_unwanted()),
        asyncio.create_task(activity.wait_for_worker_shutdown()),
    }
    waits = {asyncio.create_task(taken.wait()), *ends}
    try:
        await asyncio.wait({mine.task, *waits}, return_when=asyncio.FIRST_COMPLETED)
        if any(one.done() for one in ends) and not taken.is_set():
            await mine.end()
    except asyncio.CancelledError:
        await mine.end()
        raise
    finally:
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    # To nobody: what came of it stands in the records.
    return _GONE


def _lost() -> bool:
    """Tell whether an activity is cancelled only because Temporal knows of it no more."""
    why = activity.cancellation_details()
    if why is None or why.cancel_requested or why.worker_shutdown or why.paused or why.reset:
        return False
    return why.not_found or why.timed_out


async def _until_unwanted() -> None:
    """Return when the workflow is over: whoever ended it in Temporal wants nothing of it to go on."""
    workflow_id = activity.info().workflow_id
    assert workflow_id is not None  # noqa: S101 - for the type checker; it is of one
    handle = activity.client().get_workflow_handle(workflow_id)
    while True:
        try:
            if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                return
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
        await asyncio.sleep(_LOOK)
