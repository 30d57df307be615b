"""Who sees what a job has seen: an agent that looks sessions and documents up repeats what stands there.

Owns what is left out for those who may read jobs, and not what the job was let look up; see
`authority.scopes_to_see`, and ADR 29.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Job, JobDetail
from minoots_platform.identity import Principal
from minoots_platform.records import authority, jobs

J = TypeVar("J", bound=Job)


async def require_seen(connection: AsyncConnection, principal: Principal, job_id: str) -> None:
    """Refuse whoever may not see what a job has seen.

    Raises:
        Failure: denied, naming the scope; not_found.
    """
    row = await jobs.row_of(connection, principal.tenant, job_id)
    for scope in authority.scopes_to_see(row.kind, row.spec):
        principal.require(scope)


def shown_to(principal: Principal) -> Callable[[sa.Row[Any]], Job]:
    """Return what makes a job of a row, as somebody may see it."""
    return lambda row: _as_seen(jobs.view(row), row.kind, row.spec, principal)


def detail_for(detail: JobDetail, principal: Principal) -> JobDetail:
    """Return a job as somebody may see it."""
    return _as_seen(detail, detail.kind.value, detail.request, principal)


def _as_seen(job: J, kind: str, spec: Any, principal: Principal) -> J:
    if all(principal.allows(scope) for scope in authority.scopes_to_see(kind, spec)):
        return job
    left_out: dict[str, Any] = {"result": None}
    if isinstance(job, JobDetail) and job.agent is not None:
        awaiting = tuple(one.model_copy(update={"arguments": ""}) for one in job.agent.awaiting)
        left_out["agent"] = job.agent.model_copy(update={"awaiting": awaiting})
    return job.model_copy(update=left_out)
