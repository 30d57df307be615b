"""`JobsPort` on the records."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from temporalio import activity

from minoots.contracts import JobKind, JobState
from minoots_platform.clock import Clock
from minoots_platform.records import Database, agent_runs, job_progress, sandbox_jobs
from minoots_platform.records.agent_runs import Due, Next
from minoots_platform.records.job_progress import Begun
from minoots_platform.records.sandbox_jobs import Place
from minoots_workflows.jobs.contracts import Does, JobLook
from minoots_workflows.jobs.port import JobsPort
from minoots_workflows.pacing import Subject

_DOES: Final = {
    JobKind.LLM: Does.CALL_MODEL,
    JobKind.EXEC: Does.RUN_PROGRAM,
    JobKind.VM: Does.RUN_PROGRAM,
}
_AGENT_DOES: Final = {Next.THINK: Does.THINK, Next.ACT: Does.ACT, Next.WAIT: Does.WAIT}


class Jobs(JobsPort):
    """Jobs, on the records."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @activity.defn(name="jobs.next")
    async def next(self, job: Subject) -> JobLook:
        """Tell what is next in a job; end one that was cancelled, or is too late."""
        async with self._database.write() as connection:
            found = await job_progress.look(connection, job.tenant, job.id, self._clock())
            if found.kind is JobKind.AGENT:
                return agent_look(await agent_runs.due(connection, job.id, self._clock()), found)
            if found.kind is not None and found.sandbox_id is not None:
                place = await sandbox_jobs.place_of(connection, job.tenant, job.id, self._clock())
                return _in_sandbox(place, found)
        return _look(found)

    @activity.defn(name="jobs.stop")
    async def stop(self, job: Subject) -> JobLook:
        """End a job whose workflow was cancelled."""
        async with self._database.write() as connection:
            found = await job_progress.stop(connection, job.tenant, job.id, self._clock())
        return _look(found)


def agent_look(due: Due, found: job_progress.Look | Begun) -> JobLook:
    """Return what is next for an agent at work."""
    return JobLook(
        state=JobState.RUNNING.value,
        does=_AGENT_DOES[due.does],
        attempt=found.attempt,
        deadline=found.deadline,
        step=due.step,
        wake_at=due.wake_at,
    )


def _in_sandbox(place: Place | datetime | job_progress.Look, found: job_progress.Look) -> JobLook:
    """Return what is next for a program in a sandbox that stands."""
    if isinstance(place, job_progress.Look):
        return _look(place)
    look = _look(found)
    if isinstance(place, datetime):
        return look.model_copy(update={"does": Does.WAIT, "wake_at": place})
    where = {"sandbox_id": place.sandbox_id, "epoch": place.epoch, "queue": place.queue}
    return look.model_copy(update=where)


def _look(found: job_progress.Look) -> JobLook:
    does = Does.NOTHING if found.kind is None else _DOES[found.kind]
    return JobLook(state=found.state, does=does, attempt=found.attempt, deadline=found.deadline)
