"""Jobs whose programs run in a sandbox that stands: where they are to go, and how they end without it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import ExecJob, JobProblem, JobState, OnLost
from minoots.errors import FailureKind

from . import job_progress, schema
from .job_progress import Look, Outcome
from .jobs import REQUEST, row_of
from .sandboxes import FINAL, STANDING

_PAUSE: Final = timedelta(seconds=1)
"""Until it is looked again whether a sandbox that begins anew stands."""


@dataclass(frozen=True)
class Place:
    """Where the program of a job runs: a sandbox, which opening of it, and the queue of its worker."""

    sandbox_id: str
    epoch: int
    queue: str


async def place_of(
    connection: AsyncConnection, tenant: str, job_id: str, now: datetime
) -> Place | datetime | Look:
    """Return where a job's program is to run, when to look again, or how the job ended: it has no place.

    Nobody may be at work on it.
    """
    job = await row_of(connection, tenant, job_id, lock=True)
    table = schema.sandboxes
    query = sa.select(table).where(table.c.tenant == tenant, table.c.id == job.sandbox_id)
    row = (await connection.execute(query)).one_or_none()
    if row is not None and row.state in STANDING:
        return Place(row.id, row.epoch, row.queue)
    request = REQUEST.validate_python(job.spec)
    again = isinstance(request, ExecJob) and request.on_lost is OnLost.RERUN
    if row is not None and row.state not in FINAL and (job.attempt == 0 or again):
        return now + _PAUSE
    how = "gone" if row is None else row.state if row.state in FINAL else "lost"
    ended = await job_progress.end(
        connection, job, Outcome(JobState.FAILED, problem=_without(how, begun=job.attempt > 0)), now
    )
    return Look(JobState(ended.state), None, ended.deadline_at, ended.attempt)


def _without(how: str, *, begun: bool) -> JobProblem:
    if begun:
        return JobProblem(
            kind=FailureKind.UNAVAILABLE,
            detail=f"the sandbox is {how}, and nobody knows how far the program came in it",
            remedy="See what it has done outside, if it could; then run it again in another sandbox.",
            outcome="unknown",
        )
    return JobProblem(
        kind=FailureKind.UNAVAILABLE,
        detail=f"the sandbox is {how}; the program was never started",
        remedy="Nothing of it has happened: open another sandbox and submit it there.",
        outcome="never_started",
    )
