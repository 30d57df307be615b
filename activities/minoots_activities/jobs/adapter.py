"""`JobsPort` on the records."""

from __future__ import annotations

from typing import Final

from temporalio import activity

from minoots.contracts import JobKind
from minoots_platform.clock import Clock
from minoots_platform.records import Database, job_progress
from minoots_workflows.jobs.contracts import Does, JobLook
from minoots_workflows.jobs.port import JobsPort
from minoots_workflows.pacing import Subject

_DOES: Final = {JobKind.LLM: Does.CALL_MODEL, JobKind.EXEC: Does.RUN_PROGRAM}


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
        return _look(found)

    @activity.defn(name="jobs.stop")
    async def stop(self, job: Subject) -> JobLook:
        """End a job whose workflow was cancelled."""
        async with self._database.write() as connection:
            found = await job_progress.stop(connection, job.tenant, job.id, self._clock())
        return _look(found)


def _look(found: job_progress.Look) -> JobLook:
    does = Does.NOTHING if found.kind is None else _DOES[found.kind]
    return JobLook(state=found.state, does=does, attempt=found.attempt, deadline=found.deadline)
