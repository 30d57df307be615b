"""`AgentJobWorkflow`: a thin loop. What is next stands in the records, and so does everything that was said.

The history of a job has references only: it grows with the number of its steps, never with what is in them.
What an agent does next comes with the answer of what it did, so that each step costs one activity. A job that
is cancelled, or whose deadline passes, has its step stopped first; then the records say how it ended.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Moved, Subject

    from .contracts import Does, JobLook, StepDone, StepDue
    from .port import ActingPort, JobsPort, ModelCallsPort, ProgramsPort, ThinkingPort


@workflow.defn(name="AgentJob")
class AgentJobWorkflow:
    """One job, until it has ended."""

    @workflow.init
    def __init__(self, job: Subject) -> None:
        self._job = job
        self._seen = JobLook()
        self._stop = False
        self._moves = 0

    @workflow.run
    async def run(self, job: Subject) -> JobLook:
        """Do what is next, until nothing is."""
        try:
            return await self._live(job)
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            # An operator's doing, in Temporal: the records have to know, too.
            self._seen = await workflow.execute_activity_method(JobsPort.stop, job, **options.RECORDS)
            raise

    async def _live(self, job: Subject) -> JobLook:
        look: JobLook | None = None
        while True:
            moves = self._moves
            if look is None:
                look = await workflow.execute_activity_method(JobsPort.next, job, **options.RECORDS)
            self._seen = look
            workflow.set_current_details(_told(look))
            if look.over:
                return look
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(job)
            if look.does is Does.WAIT:
                await self._wait(look, moves)
                look = None
            else:
                look = await self._perform(look)
                if self._moves != moves:
                    # Something was said meanwhile that the step may not know of.
                    look = None

    @workflow.signal
    def moved(self, move: Moved) -> None:
        """Somebody wants it stopped; anything else stands in the records and needs no more than a look."""
        self._stop |= move.what == "cancelled"
        self._moves += 1

    @workflow.query
    def state(self) -> JobLook:
        """How the job stands."""
        return self._seen

    async def _wait(self, look: JobLook, moves: int) -> None:
        """Wait until it is time, or until something has happened that was not known when it was looked."""
        times = [left for left in (_left(look.deadline), _until(look.wake_at)) if left is not None]
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._moves != moves, timeout=min(times, default=None), timeout_summary="waiting"
            )
        self._stop = False

    async def _perform(self, look: JobLook) -> JobLook | None:
        """Do one step, and stop it when the job is to stop or is too late; return what is next if it says."""
        step = self._begin(look)
        try:
            await workflow.wait_condition(
                lambda: step.done() or self._stop,
                timeout=_left(look.deadline),
                timeout_summary="deadline",
            )
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            await _stopped(step, elsewhere=bool(look.queue))
            raise
        self._stop = False
        return await _stopped(step, elsewhere=bool(look.queue))

    def _begin(self, look: JobLook) -> workflow.ActivityHandle[StepDone]:
        due = StepDue(
            tenant=self._job.tenant,
            job_id=self._job.id,
            step=look.step,
            sandbox_id=look.sandbox_id,
            epoch=look.epoch,
        )
        if look.does is Does.THINK:
            return workflow.start_activity_method(
                ThinkingPort.think, due, **options.MODEL | {"summary": "ask a model"}
            )
        if look.does is Does.ACT:
            return workflow.start_activity_method(
                ActingPort.act, due, **options.PROGRAM | {"summary": "use tools"}
            )
        if look.does is Does.CALL_MODEL:
            return workflow.start_activity_method(
                ModelCallsPort.call_model, due, **options.MODEL | {"summary": "ask a model"}
            )
        if look.queue:
            return workflow.start_activity_method(
                ProgramsPort.run_program, due, **options.holder_program(look.queue)
            )
        return workflow.start_activity_method(
            ProgramsPort.run_program, due, **options.PROGRAM | {"summary": "run a program"}
        )


async def _stopped(step: workflow.ActivityHandle[StepDone], *, elsewhere: bool = False) -> JobLook | None:
    """Wait until a step has ended, and call it off if it has not; return what is next if it says.

    ``elsewhere`` says that only one worker can do it, which may be gone: then the records say what is next.
    """
    called_off = not step.done()
    if called_off:
        step.cancel()
    try:
        done = await step
    except (ActivityError, asyncio.CancelledError) as error:
        # However one ended that was called off, the records say what is next: it may not have answered in
        # time. Anything else is a fault, and ends the workflow.
        if not called_off and not elsewhere and not is_cancelled_exception(error):
            raise
        return None
    return None if called_off else done.next


def _left(deadline: datetime | None) -> float | None:
    # A second later: what runs ends itself at the deadline, and a clock that is ahead must not have it begun
    # once more by one that is behind.
    return None if deadline is None else max(0.0, (deadline - workflow.now()).total_seconds()) + 1.0


def _until(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.05, (moment - workflow.now()).total_seconds())


def _told(look: JobLook) -> str:
    if look.over:
        return f"**{look.state}** after {look.attempt} attempts"
    until = "" if look.deadline is None else f" until {look.deadline.isoformat(timespec='seconds')}"
    return f"**{look.state}**: {look.does.replace('_', ' ')}{until}"
