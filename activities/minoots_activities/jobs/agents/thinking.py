"""`ThinkingPort`: the model of an agent is asked what it does next, and what it answers is kept.

Owns the end of a job, too: one is done when its model calls no tool, and given up when it has had its turns,
goes round in circles, or does not understand its tools.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, cast

from opentelemetry.metrics import NoOpMeter
from temporalio import activity

from minoots.contracts import (
    AgentJob,
    FinishReason,
    JobProblem,
    JobState,
    Message,
    ModelAnswer,
    ModelRequest,
    ToolSpec,
)
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.adapter import agent_look
from minoots_activities.jobs.answers import ask, pause_after, problem_of, put_off
from minoots_activities.jobs.servers.offers import Offers, kept_offers
from minoots_activities.jobs.telling import Teller
from minoots_activities.jobs.underway import Underway
from minoots_activities.jobs.working import UnwantedError, while_wanted, without_words
from minoots_platform.clock import Clock
from minoots_platform.records import Database, agent_runs, agent_words, job_problems, job_progress
from minoots_platform.records.agent_runs import Due, Step
from minoots_platform.settings import JobsSettings
from minoots_platform.telemetry.job_metrics import JobMetrics
from minoots_workflows.jobs.contracts import StepDone, StepDue
from minoots_workflows.jobs.port import ThinkingPort
from minoots_workflows.models.contracts import ModelCaller
from minoots_workflows.models.failures import ModelFailure
from minoots_workflows.models.ports import ModelRouter

from .arguments import spec_of
from .ending import Ending
from .policy import MOST_FAULTS, bounded, judge, rules_of, said
from .preparing import prepared
from .refusing import audit_denied
from .taken import taken_by

_ASKED: Final = (
    "provider",
    "model",
    "locality",
    "max_tokens",
    "context_tokens",
    "temperature",
    "seed",
    "think",
)
_MOST_MESSAGES: Final = 10_000


class Thinking(ThinkingPort):
    """Model calls of agents.

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
        self._ending = Ending(database, settings, clock)
        self._underway = Underway()

    @activity.defn(name="jobs.think")
    async def think(self, due: StepDue) -> StepDone:
        """Ask the model what is next, and keep the answer; end the job with the last one."""
        async with without_words(due.job_id):
            return await self._underway.do(due.job_id, lambda: self._think(due))

    async def _think(self, due: StepDue) -> StepDone:
        async with self._database.write() as connection:
            step = await agent_runs.begin(
                connection,
                due.tenant,
                due.job_id,
                due.step,
                most_tries=self._settings.max_attempts,
                now=self._clock(),
            )
        if step is None or step.call is not None:
            return StepDone(state="")
        begun = step.begun
        self._metrics.waited(begun.request.kind, begun.waited)
        teller = Teller(self._database, begun, self._clock, self._settings.max_event_bytes)
        try:
            next_one = await while_wanted(self._turn(step, teller), self._database, begun, teller)
        except UnwantedError:
            return StepDone(state="")
        except ModelFailure as failure:
            left = (begun.deadline - self._clock()).total_seconds()
            last = step.run.tries >= self._settings.max_attempts and not failure.asked_nobody
            often = activity.info().attempt
            pause = None if last else pause_after(failure, step.run.tries, left, begun=often)
            if pause is not None:
                if failure.asked_nobody:
                    async with self._database.write() as connection:
                        await agent_runs.only_waited(connection, step)
                raise await put_off(teller, failure, pause) from None
            await self._fail(step, problem_of(failure))
            return StepDone(state=JobState.FAILED)
        except Failure as failure:
            await self._fail(step, job_problems.problem_of(failure))
            return StepDone(state=JobState.FAILED)
        if next_one is None:
            return StepDone(state="")
        return StepDone(state=JobState.RUNNING, next=agent_look(next_one, begun))

    async def _turn(self, step: Step, teller: Teller) -> Due | None:
        begun = await prepared(self._database, step, self._clock)
        if begun is None:
            return None
        step = begun
        job = cast(AgentJob, step.begun.request)
        problem = _given_up(step, job)
        if problem is not None:
            await self._fail(step, problem)
            return None
        messages = await agent_words.conversation(self._database, step.run.tenant, step.run.job_id)
        if len(messages) > _MOST_MESSAGES:
            detail = f"more than {_MOST_MESSAGES} messages were said"
            await self._fail(step, JobProblem(kind=FailureKind.EXHAUSTED, detail=detail))
            return None
        offers = await kept_offers(self._database, step.run)
        answer = await ask(
            self._router, _request(step, job, messages, offers), _caller(step, job), teller, step.begun
        )
        return await self._kept(step, job, offers, answer)

    async def _kept(self, step: Step, job: AgentJob, offers: Offers, answer: ModelAnswer) -> Due | None:
        message = said(answer.text, answer.tool_calls, step.run.calls + 1)
        taken = taken_by(step).more(answer)
        async with self._database.read() as connection:
            made = await agent_runs.counts(connection, step.run.job_id)
        # In a thread: patterns of strangers are held against paths of strangers, in steps that are bounded.
        calls = await asyncio.to_thread(judge, job, message.tool_calls, made, step.run.calls, offers)
        calls = bounded(calls, len(answer.tool_calls))
        for call in calls:
            if call.audited:
                # Before it is kept: what cannot be written down is thought again, and never lost.
                audit_denied(step.begun, call.tool, call.reason)
        outcome = None
        if not calls:
            cut = answer.finish in (FinishReason.LENGTH, FinishReason.FILTERED)
            problem = _cut(answer.finish) if cut else None
            outcome = await self._ending.outcome(step, message, taken=taken, problem=problem)
        async with self._database.write() as connection:
            return await agent_runs.thought(connection, step, message, calls, taken, outcome, self._clock())

    async def _fail(self, step: Step, problem: JobProblem) -> None:
        """End a job that fails, with what there is."""
        async with self._database.read() as connection:
            # The step may have begun with less than there is now.
            run = await agent_runs.run_of(connection, step.run.job_id)
        outcome = await self._ending.outcome(replace(step, run=run), problem=problem)
        async with self._database.write() as connection:
            await job_progress.finish(connection, step.begun, outcome, self._clock())


def _request(step: Step, job: AgentJob, messages: tuple[Message, ...], offers: Offers) -> ModelRequest:
    asked = {name: getattr(job, name) for name in _ASKED}
    return ModelRequest(messages=messages, tools=tools_of(job, offers), **asked).model_copy(
        update={"deadline": step.begun.deadline}
    )


def tools_of(job: AgentJob, offers: Offers) -> tuple[ToolSpec, ...]:
    """Return what the model of a job is told of its tools, and of those of its servers."""
    return (*(spec_of(tool) for tool in rules_of(job)), *(offer.spec() for offer in offers.values()))


def _caller(step: Step, job: AgentJob) -> ModelCaller:
    return ModelCaller(
        tenant=step.begun.tenant,
        key=step.begun.actor,
        call_id=f"{step.begun.job_id}/{step.run.turns + 1}",
        job_id=step.begun.job_id,
        budget=job.budget,
    )


def _given_up(step: Step, job: AgentJob) -> JobProblem | None:
    """Return why the model is not asked any more."""
    run = step.run
    if run.turns >= job.max_turns:
        return JobProblem(
            kind=FailureKind.EXHAUSTED,
            detail=f"it was not done after {run.turns} turns",
            remedy="Raise max_turns, or give it a smaller task.",
        )
    if run.stale >= job.stuck_after:
        return JobProblem(
            kind=FailureKind.EXHAUSTED,
            detail=f"it is stuck: its last {run.stale} calls of tools brought nothing new",
            remedy="See the artifact conversation.jsonl; change the task, or choose another model.",
        )
    if run.faults >= MOST_FAULTS:
        return JobProblem(
            kind=FailureKind.EXHAUSTED,
            detail=f"each of its last {run.faults} turns made a call that is malformed or not allowed",
            remedy="See the artifact conversation.jsonl; choose another model, or allow the tool.",
        )
    return None


def _cut(finish: FinishReason) -> JobProblem:
    if finish is FinishReason.FILTERED:
        return JobProblem(
            kind=FailureKind.INVALID,
            detail="the provider withheld the model's answer",
            remedy="Change the task, or choose another provider.",
        )
    return JobProblem(
        kind=FailureKind.EXHAUSTED,
        detail="the model's answer was cut off before its end",
        remedy="Raise max_tokens, or choose a model of a longer context.",
    )
