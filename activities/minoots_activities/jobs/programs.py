"""`ProgramsPort`: the program of a job, in a sandbox of the tier that it asks for, or in one that stands.

Owns when it may begin, that it begins once, and how the job ends. What happens in a sandbox: `program_runs`.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final, cast

from temporalio import activity
from temporalio.exceptions import ApplicationError

from minoots.contracts import (
    ExecJob,
    JobState,
    OnLost,
)
from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import (
    NeverStarted,
    OutcomeUnknown,
)
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.standing.holder import Held, Holder, not_here
from minoots_platform.clock import Clock
from minoots_platform.records import Database, job_problems, job_progress
from minoots_platform.records.job_progress import Begun, Outcome
from minoots_platform.settings import JobsSettings
from minoots_platform.telemetry import get_logger
from minoots_workflows.jobs.contracts import StepDone, StepDue
from minoots_workflows.jobs.port import ProgramsPort

from .holds import HOLD, Holds
from .program_runs import ProgramRun
from .reaching import reaches_out
from .telling import Teller
from .underway import Underway
from .working import UnwantedError, while_wanted, without_words

_GONE: Final = 0.5
"""Seconds until it is looked again where the program of a job is to run."""


class Programs(ProgramsPort):
    """Programs of jobs, on this machine.

    Args:
        database: the records.
        tiers: what sandboxes there are.
        settings: how much a job may make.
        clock: the time.
        holder: the sandboxes that this worker holds, for programs in these.
    """

    def __init__(
        self,
        database: Database,
        tiers: Tiers,
        settings: JobsSettings,
        clock: Clock,
        holder: Holder | None = None,
    ) -> None:
        self._holder = holder
        self._database = database
        self._tiers = tiers
        self._settings = settings
        self._clock = clock
        self._log = get_logger("minoots.jobs")
        self._underway = Underway()
        self._holds = Holds(database, clock)

    @activity.defn(name="jobs.run_program")
    async def run_program(self, due: StepDue) -> StepDone:
        """Run the program of a job, and end the job with what came of it."""
        async with without_words(due.job_id):
            return await self._underway.do(due.job_id, lambda: self._run_unless_it_runs(due))

    async def _run_unless_it_runs(self, due: StepDue) -> StepDone:
        # What runs here would have been found. Temporal may have lost sight of another worker that has it.
        await self._holds.until_free(due)
        if due.sandbox_id:
            return await self._run_in_standing(due)
        return await self._run_once_there_is_room(due)

    async def _run_in_standing(self, due: StepDue) -> StepDone:
        try:
            held = self._find(due)
            # Begun when its turn has come: what never started may be submitted again.
            async with held.turn():
                return await self._run(due, held)
        except NeverStarted:
            # The records will know, in a moment.
            await asyncio.sleep(_GONE)
            return StepDone(state="")

    async def _run_once_there_is_room(self, due: StepDue) -> StepDone:
        async with self._database.read() as connection:
            waiting = await job_progress.waiting(connection, due.tenant, due.job_id)
        async with AsyncExitStack() as stack:
            if waiting is not None and isinstance(request := waiting.request, ExecJob):
                # Before it begins: it waits in its queue, whoever looks sees it there, and no time runs. It
                # has its place since it was accepted, however many workers have died meanwhile.
                waited = max(timedelta(0), self._clock() - waiting.since)
                await stack.enter_async_context(
                    self._tiers.hold(
                        request.tier,
                        due.job_id,
                        request.limits,
                        request.priority,
                        waited=waited,
                        whose=due.tenant,
                    )
                )
            return await self._run(due)

    def _find(self, due: StepDue) -> Held:
        if self._holder is None:
            raise not_here()
        return self._holder.find(due.tenant, due.sandbox_id, due.epoch)

    async def _run(self, due: StepDue, held: Held | None = None) -> StepDone:
        begun = await self._begin(due)
        if begun is None:
            return StepDone(state="")
        try:
            return await self._run_begun(due, begun, held)
        except BaseException:
            await self._holds.let_go(begun)
            raise

    async def _run_begun(self, due: StepDue, begun: Begun, held: Held | None) -> StepDone:
        request = cast(ExecJob, begun.request)
        self._tiers.watching.metrics.waited(request.kind, begun.waited)
        teller = Teller(self._database, begun, self._clock, self._settings.max_event_bytes)
        try:
            await self._require_first(begun, request)
            run = ProgramRun(begun, request, self._database, self._settings, self._clock, teller, held)
            outcome = await while_wanted(
                run.outcome(self._tiers), self._database, begun, teller, lambda: self._holds.go_on(begun)
            )
        except UnwantedError:
            return StepDone(state="")
        except OutcomeUnknown as unknown:
            if on_lost(request) is OnLost.RERUN:
                self._log.warning("job.sandbox_lost", job_id=due.job_id, attempt=begun.attempt)
                raise ApplicationError("the sandbox was lost", type="SandboxLost") from None
            outcome = Outcome(JobState.FAILED, problem=job_problems.problem_of(unknown, "unknown"))
        except NeverStarted as failure:
            outcome = Outcome(JobState.FAILED, problem=job_problems.problem_of(failure, "never_started"))
        except Failure as failure:
            outcome = Outcome(JobState.FAILED, problem=job_problems.problem_of(failure))
        async with self._database.write() as connection:
            await job_progress.finish(connection, begun, outcome, self._clock())
        return StepDone(state=outcome.state)

    async def _begin(self, due: StepDue) -> Begun | None:
        async with self._database.write() as connection:
            return await job_progress.begin(
                connection,
                due.tenant,
                due.job_id,
                most_attempts=self._settings.max_attempts,
                now=self._clock(),
                hold=HOLD,
            )

    async def _require_first(self, begun: Begun, request: ExecJob) -> None:
        """Note that the program is about to run; refuse to run it twice where that may do harm."""
        async with self._database.write() as connection:
            before = await job_progress.begin_effect(connection, begun, "exec", self._clock())
        if before is not None and on_lost(request) is OnLost.FAIL:
            raise OutcomeUnknown(
                FailureKind.UNAVAILABLE,
                "the worker died while the program ran, and nobody knows how far it came",
                remedy="See what it has done, then submit the job again; on_lost: rerun does so by itself.",
            )


def on_lost(request: ExecJob) -> OnLost:
    """Return what happens when the worker dies while the program runs."""
    if request.on_lost is not None:
        return request.on_lost
    outlasts = request.sandbox is not None or reaches_out(request)
    return OnLost.FAIL if outlasts else OnLost.RERUN
