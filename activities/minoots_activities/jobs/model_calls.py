"""`ModelCallsPort`: what a job asks a language model, told as it is written."""

from __future__ import annotations

from typing import Final, cast

from opentelemetry.metrics import NoOpMeter
from temporalio import activity

from minoots.contracts import (
    JobEventType,
    JobState,
    LlmJob,
    LlmResult,
    ModelAnswer,
    ModelRequest,
)
from minoots_platform.clock import Clock
from minoots_platform.records import Database, contents, job_progress
from minoots_platform.records.job_progress import Begun, Made, Outcome
from minoots_platform.settings import JobsSettings
from minoots_platform.telemetry.job_metrics import JobMetrics
from minoots_workflows.jobs.contracts import StepDone, StepDue
from minoots_workflows.jobs.port import ModelCallsPort
from minoots_workflows.models.contracts import ModelCaller
from minoots_workflows.models.failures import ModelFailure
from minoots_workflows.models.ports import ModelRouter

from .answers import ask, pause_after, problem_of, put_off
from .telling import Teller
from .underway import Underway
from .working import UnwantedError, while_wanted, without_words

_PREVIEW: Final = 2000
_ASKED: Final = frozenset(ModelRequest.model_fields)


class ModelCalls(ModelCallsPort):
    """Model calls of jobs.

    Args:
        database: the records.
        router: what asks the models.
        settings: how much a job may make, and how often it is tried.
        clock: the time.
        metrics: who takes how long jobs waited.
    """

    def __init__(
        self,
        database: Database,
        router: ModelRouter,
        settings: JobsSettings,
        clock: Clock,
        metrics: JobMetrics | None = None,
    ) -> None:
        self._database = database
        self._router = router
        self._settings = settings
        self._clock = clock
        self._metrics = metrics or JobMetrics(NoOpMeter("minoots"))
        self._underway = Underway()

    @activity.defn(name="jobs.call_model")
    async def call_model(self, due: StepDue) -> StepDone:
        """Ask a model, tell what it writes as it comes, and end the job with the answer."""
        async with without_words(due.job_id):
            return await self._underway.do(due.job_id, lambda: self._call(due))

    async def _call(self, due: StepDue) -> StepDone:
        async with self._database.write() as connection:
            begun = await job_progress.begin(
                connection,
                due.tenant,
                due.job_id,
                most_attempts=self._settings.max_attempts,
                now=self._clock(),
            )
        if begun is None:
            return StepDone(state="")
        self._metrics.waited(begun.request.kind, begun.waited)
        teller = Teller(self._database, begun, self._clock, self._settings.max_event_bytes)
        try:
            answer = await while_wanted(self._ask(begun, teller), self._database, begun, teller)
            outcome = await self._kept(begun, answer)
        except UnwantedError:
            return StepDone(state="")
        except ModelFailure as failure:
            pause = self._pause(begun, failure)
            if pause is not None:
                if failure.asked_nobody:
                    async with self._database.write() as connection:
                        await job_progress.only_waited(connection, begun)
                raise await put_off(teller, failure, pause) from None
            outcome = Outcome(JobState.FAILED, problem=problem_of(failure))
        async with self._database.write() as connection:
            await job_progress.finish(connection, begun, outcome, self._clock())
        return StepDone(state=outcome.state)

    async def _ask(self, begun: Begun, teller: Teller) -> ModelAnswer:
        job = cast(LlmJob, begun.request)
        request = ModelRequest(**{name: getattr(job, name) for name in _ASKED}).model_copy(
            update={"deadline": begun.deadline}
        )
        caller = ModelCaller(
            tenant=begun.tenant,
            key=begun.actor,
            call_id=f"{begun.job_id}/1",
            job_id=begun.job_id,
            budget=job.budget,
        )
        answer = await ask(self._router, request, caller, teller, begun)
        if answer.tool_calls:
            calls = [call.model_dump(mode="json") for call in answer.tool_calls]
            await teller.tell(JobEventType.TOOL, {"calls": calls})
        return answer

    async def _kept(self, begun: Begun, answer: ModelAnswer) -> Outcome:
        whole = answer.model_dump_json().encode()
        made = [await self._keep(begun, "answer.json", whole, "application/json")]
        if answer.text:
            made.append(await self._keep(begun, "answer.txt", answer.text.encode(), "text/plain"))
        shared = {"finish", "provider", "model", "local", "usage", "currency", "attempts", "fell_back"}
        shared |= {"warnings", "timings"}
        result = LlmResult(
            answer=made[0].sha256,
            preview=answer.text[:_PREVIEW].replace("\x00", "\ufffd"),
            **{name: getattr(answer, name) for name in shared},
        )
        return Outcome(JobState.SUCCEEDED, result, made=made)

    async def _keep(self, begun: Begun, name: str, data: bytes, media_type: str) -> Made:
        sha256 = await contents.keep(self._database, begun.tenant, data, self._clock())
        return Made(name, sha256, len(data), media_type)

    def _pause(self, begun: Begun, failure: ModelFailure) -> float | None:
        """Return after how many seconds another try makes sense, ``None`` when none does."""
        job = cast(LlmJob, begun.request)
        if begun.tries >= self._settings.max_attempts and not failure.asked_nobody:
            return None
        left = (begun.deadline - self._clock()).total_seconds()
        often = activity.info().attempt
        return pause_after(failure, begun.tries, left, job.on_break, begun=often)
