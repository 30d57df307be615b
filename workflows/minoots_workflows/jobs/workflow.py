"""`AgentJobWorkflow`: a thin loop. What is next stands in the records, and so does everything that was said.

The history of a job has references only: it grows with the number of its steps, never with what is in them.
A job that is cancelled, or whose deadline passes, has its step stopped first; then the records say how it
ended.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Moved, Subject

    from .contracts import Does, JobLook, StepDone, StepDue
    from .port import JobsPort, ModelCallsPort, ProgramsPort


@workflow.defn(name="AgentJob")
class AgentJobWorkflow:
    """One job, until it has ended."""

    @workflow.init
    def __init__(self, job: Subject) -> None:
        self._job = job
        self._seen = JobLook()
        self._stop = False

    @workflow.run
    async def run(self, job: Subject) -> JobLook:
        """Do what is next, until nothing is."""
        try:
            return await self._live(job)
        except asyncio.CancelledError:
            # An operator's doing, in Temporal: the records have to know, too.
            self._seen = await workflow.execute_activity_method(JobsPort.stop, job, **options.RECORDS)
            raise

    async def _live(self, job: Subject) -> JobLook:
        while True:
            self._seen = await workflow.execute_activity_method(JobsPort.next, job, **options.RECORDS)
            workflow.set_current_details(_told(self._seen))
            if self._seen.over:
                return self._seen
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(job)
            await self._perform(self._seen)

    @workflow.signal
    def moved(self, move: Moved) -> None:
        """Somebody wants it stopped; anything else stands in the records and needs no more than a look."""
        self._stop |= move.what == "cancelled"

    @workflow.query
    def state(self) -> JobLook:
        """How the job stands."""
        return self._seen

    async def _perform(self, look: JobLook) -> None:
        """Do one step, and stop it when the job is to stop or is too late."""
        step = self._begin(look.does)
        try:
            await workflow.wait_condition(
                lambda: step.done() or self._stop,
                timeout=_left(look.deadline),
                timeout_summary="deadline",
            )
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            await _stopped(step)
            raise
        self._stop = False
        await _stopped(step)

    def _begin(self, does: Does) -> workflow.ActivityHandle[StepDone]:
        due = StepDue(tenant=self._job.tenant, job_id=self._job.id)
        if does is Does.CALL_MODEL:
            return workflow.start_activity_method(
                ModelCallsPort.call_model, due, **options.MODEL | {"summary": "ask a model"}
            )
        return workflow.start_activity_method(
            ProgramsPort.run_program, due, **options.PROGRAM | {"summary": "run a program"}
        )


async def _stopped(step: workflow.ActivityHandle[StepDone]) -> None:
    """Wait until a step has ended, and call it off if it has not."""
    called_off = not step.done()
    if called_off:
        step.cancel()
    try:
        await step
    except (ActivityError, asyncio.CancelledError) as error:
        # However one ended that was called off, the records say what is next: it may not have answered in
        # time. Anything else is a fault, and ends the workflow.
        if not called_off and not is_cancelled_exception(error):
            raise


def _left(deadline: datetime | None) -> float | None:
    # A second later: what runs ends itself at the deadline, and a clock that is ahead must not have it begun
    # once more by one that is behind.
    return None if deadline is None else max(0.0, (deadline - workflow.now()).total_seconds()) + 1.0


def _told(look: JobLook) -> str:
    if look.over:
        return f"**{look.state}** after {look.attempt} attempts"
    until = "" if look.deadline is None else f" until {look.deadline.isoformat(timespec='seconds')}"
    return f"**{look.state}**: {look.does.replace('_', ' ')}{until}"
