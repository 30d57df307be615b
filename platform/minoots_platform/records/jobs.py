"""Jobs: keep, look up, list, cancel. What happens while one runs is `job_progress`'s."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    AgentJob,
    Artifact,
    EventType,
    ExecJob,
    FieldProblem,
    Job,
    JobDetail,
    JobEvent,
    JobEvents,
    JobKind,
    JobRequest,
    JobState,
    LlmJob,
    Page,
)
from minoots.contracts.sandboxes import MAX_TIME
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id

from . import contents, events, job_queue, sandboxes, schema, tenants
from .paging import newest_first

TABLE: Final = schema.jobs
_EVENTS: Final = schema.job_events
_ARTIFACTS: Final = schema.job_artifacts
MOST_IN_ONE_SANDBOX: Final = 50
"""Unfinished jobs of one sandbox that stands; see `minoots_workers.process`, which has places for them."""
REQUEST: Final[TypeAdapter[LlmJob | ExecJob | AgentJob]] = TypeAdapter(JobRequest)
FINAL: Final = tuple(state.value for state in JobState if state.final)


@dataclass(frozen=True)
class Admission:
    """What is asked before a job is taken.

    Attributes:
        most_unfinished: jobs of one tenant that may wait or run at a time.
        default_deadline: after how long a job that says nothing else is given up.
    """

    most_unfinished: int
    default_deadline: timedelta


@dataclass(frozen=True)
class JobQuery:
    """Which jobs; the newest first."""

    states: tuple[JobState, ...] = ()
    kinds: tuple[JobKind, ...] = ()
    name: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    limit: int = 50
    cursor: str | None = None


async def accept(
    connection: AsyncConnection,
    tenant: str,
    request: LlmJob | ExecJob | AgentJob,
    admission: Admission,
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
    job_id: str | None = None,
) -> Job:
    """Keep a new job, under an id of its own unless one is given.

    Raises:
        Failure: throttled, when too many of the tenant's, or of its sandbox's, are not finished; invalid, for
            a deadline that has passed or is too far away, and for contents that are not kept; not_found or
            conflict, for a sandbox that is not there or does not stand.
    """
    deadline = _deadline(request, admission, now)
    named = contents_of(request)
    await contents.require(connection, tenant, named, now)
    sandbox_id = request.sandbox if isinstance(request, ExecJob) else None
    if sandbox_id is not None:
        await sandboxes.require_standing(connection, tenant, sandbox_id, now)
        await _require_turn(connection, tenant, sandbox_id)
    # Last of what is locked: others have a sandbox's row when they wait for the tenant's.
    await _require_room(connection, tenant, admission.most_unfinished)
    wire = request.model_dump(mode="json", exclude_unset=True)
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=job_id or new_id("job", now),
                tenant=tenant,
                kind=request.kind.value,
                name=request.name or _default_name(request),
                state=JobState.QUEUED.value,
                priority=request.priority,
                spec=wire,
                labels=dict(request.labels),
                sandbox_id=sandbox_id,
                deadline_at=deadline,
                created_at=now,
                updated_at=now,
                created_by=actor,
                traceparent=traceparent,
            )
            .returning(TABLE)
        )
    ).one()
    if named:
        inputs = [{"job_id": row.id, "tenant": tenant, "sha256": one} for one in sorted(named)]
        await connection.execute(sa.insert(schema.job_inputs), inputs)
    if isinstance(request, AgentJob):
        run = {"job_id": row.id, "tenant": tenant, "usage": {}, "offers": "" if request.mcp else None}
        await connection.execute(sa.insert(schema.agent_runs).values(**run))
    told = {"kind": row.kind, "name": row.name, "by": actor}
    await tell(connection, row, EventType.JOB_ACCEPTED, now, told)
    return view(row)


async def known(connection: AsyncConnection, job_id: str) -> bool:
    """Tell whether there is a job of an id."""
    query = sa.select(TABLE.c.id).where(TABLE.c.id == job_id)
    return (await connection.execute(query)).one_or_none() is not None


async def get(connection: AsyncConnection, tenant: str, job_id: str) -> JobDetail:
    """Return a job with what it was told.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    row = await row_of(connection, tenant, job_id)
    return JobDetail(**dict(view(row)), request=row.spec, queue=await job_queue.standing(connection, row))


async def page(
    connection: AsyncConnection,
    tenant: str,
    wanted: JobQuery,
    shown: Callable[[sa.Row[Any]], Job] | None = None,
) -> Page[Job]:
    """Return one page of jobs, each as ``shown`` makes it of its row; default: all of it."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    if wanted.kinds:
        query = query.where(TABLE.c.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.name is not None:
        query = query.where(TABLE.c.name == wanted.name)
    for key, value in wanted.labels:
        query = query.where(TABLE.c.labels[key].as_string() == value)
    return await newest_first(
        connection, query, TABLE.c.created_at, "jobs", shown or view, limit=wanted.limit, cursor=wanted.cursor
    )


async def cancel(
    connection: AsyncConnection, tenant: str, job_id: str, *, now: datetime, actor: str
) -> sa.Row[Any]:
    """Have a job stop; return its row. The engine has to be told, also of one that was asked to stop before.

    Raises:
        Failure: not_found; conflict, when it has ended, cancelled or otherwise.
    """
    row = await row_of(connection, tenant, job_id, lock=True)
    if row.state in FINAL:
        raise Failure(
            FailureKind.CONFLICT,
            f"the job {how_it_ended(row)}; only one that has not ended can be cancelled",
            remedy="Nothing is left to stop.",
        )
    if row.cancel_requested_at is None:
        asked = {"cancel_requested_at": now, "updated_at": now, "generation": row.generation + 1}
        changed = sa.update(TABLE).where(TABLE.c.id == job_id).values(**asked).returning(TABLE)
        row = (await connection.execute(changed)).one()
        await tell(connection, row, EventType.JOB_CANCEL_REQUESTED, now, {"by": actor})
    return row


async def events_after(
    connection: AsyncConnection, tenant: str, job_id: str, *, after: int, limit: int
) -> JobEvents:
    """Return up to ``limit`` events of a job behind one, and where it stands.

    Raises:
        Failure: not_found.
    """
    row = await row_of(connection, tenant, job_id)
    query = sa.select(_EVENTS).where(_EVENTS.c.job_id == job_id, _EVENTS.c.sequence > after)
    # Bounded by the number read first: on Postgres the two statements see different moments.
    query = query.where(_EVENTS.c.sequence <= row.last_event).order_by(_EVENTS.c.sequence).limit(limit)
    items = tuple(_event(one) for one in await connection.execute(query))
    last = items[-1].sequence if items else max(after, 0)
    # Final only for who has read all: whoever sees it stops asking.
    state = JobState(row.state)
    if state.final and last < row.last_event:
        state = JobState.RUNNING
    return JobEvents(items=items, state=state, next_after=last)


async def artifacts(connection: AsyncConnection, tenant: str, job_id: str) -> tuple[Artifact, ...]:
    """Return what a job has made, by name.

    Raises:
        Failure: not_found, when there is no such job.
    """
    await row_of(connection, tenant, job_id)
    query = sa.select(_ARTIFACTS).where(_ARTIFACTS.c.job_id == job_id).order_by(_ARTIFACTS.c.name)
    return tuple(
        Artifact(
            name=row.name,
            sha256=row.sha256,
            bytes=row.bytes,
            media_type=row.media_type,
            created_at=row.created_at,
        )
        for row in await connection.execute(query)
    )


async def last_events(connection: AsyncConnection, ids: Collection[str]) -> dict[str, int]:
    """Return the number of the newest event of each job; one more for one that has ended.

    The end of a job brings an event with it, but a reader that has seen that event may not know of the end.
    """
    query = sa.select(TABLE.c.id, TABLE.c.last_event, TABLE.c.state).where(TABLE.c.id.in_(ids))
    found = await connection.execute(query)
    return {row.id: row.last_event + (row.state in FINAL) for row in found}


async def row_of(connection: AsyncConnection, tenant: str, job_id: str, *, lock: bool = False) -> sa.Row[Any]:
    """Return the row of a job.

    Raises:
        Failure: not_found.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == job_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise Failure(FailureKind.NOT_FOUND, f"there is no job {job_id}", remedy="GET /v1/jobs lists them.")
    return row


async def tell(
    connection: AsyncConnection, row: sa.Row[Any], kind: EventType, now: datetime, data: dict[str, Any]
) -> None:
    """Tell the tenant's log of a job."""
    new = events.NewEvent(kind, row.id, now, data, row.labels, row.traceparent)
    await events.append(connection, row.tenant, [new])


def contents_of(request: LlmJob | ExecJob | AgentJob) -> frozenset[str]:
    """Return the contents that a request names."""
    if not isinstance(request, LlmJob):
        return frozenset(file.artifact for file in request.files if file.artifact is not None)
    return frozenset(_named(request))


def how_it_ended(row: sa.Row[Any]) -> str:
    """Return what is told of a job that has ended: that it was cancelled, or has succeeded or failed."""
    return f"{'was' if row.state == JobState.CANCELLED.value else 'has'} {row.state}"


def view(row: sa.Row[Any]) -> Job:
    """Return a job as it is answered."""
    return Job(
        id=row.id,
        kind=row.kind,
        name=row.name,
        state=row.state,
        priority=row.priority,
        labels=row.labels,
        attempt=row.attempt,
        cancel_requested=row.cancel_requested_at is not None,
        events=row.last_event,
        created_at=row.created_at,
        created_by=row.created_by,
        started_at=row.started_at,
        ended_at=row.ended_at,
        deadline=row.deadline_at,
        result=row.result,
        problem=row.problem,
    )


def _named(request: LlmJob) -> Iterable[str]:
    for message in request.messages:
        if message.content is not None:
            yield message.content
        yield from message.images


def _deadline(request: LlmJob | ExecJob | AgentJob, admission: Admission, now: datetime) -> datetime:
    if request.deadline is None:
        return now + admission.default_deadline
    if not now < request.deadline <= now + MAX_TIME:
        expected = f"a time from now on, and at most {MAX_TIME.total_seconds() / 3600:g} h ahead"
        problem = FieldProblem(field="body.deadline", expected=expected, got=request.deadline.isoformat())
        raise Failure(FailureKind.INVALID, "the deadline cannot be kept", errors=(problem,))
    return request.deadline


async def _require_turn(connection: AsyncConnection, tenant: str, sandbox_id: str) -> None:
    """Refuse a program for which too many wait in one sandbox: each has a place of its worker meanwhile."""
    waiting = sa.select(sa.func.count()).where(
        TABLE.c.tenant == tenant, TABLE.c.sandbox_id == sandbox_id, TABLE.c.ended_at.is_(None)
    )
    if (await connection.execute(waiting)).scalar_one() >= MOST_IN_ONE_SANDBOX:
        raise Failure(
            FailureKind.THROTTLED,
            f"{MOST_IN_ONE_SANDBOX} jobs wait or run in the sandbox already",
            remedy="Wait until some have ended, cancel some, or open another sandbox.",
        )


async def _require_room(connection: AsyncConnection, tenant: str, most: int) -> None:
    await tenants.one_after_the_other(connection, tenant)
    waiting = sa.select(sa.func.count()).where(TABLE.c.tenant == tenant, TABLE.c.ended_at.is_(None))
    if (await connection.execute(waiting)).scalar_one() >= most:
        raise Failure(
            FailureKind.THROTTLED,
            f"{most} jobs wait or run already",
            remedy="Wait until some have ended, cancel some, or raise jobs.max_unfinished.",
        )


def _default_name(request: LlmJob | ExecJob | AgentJob) -> str:
    if isinstance(request, ExecJob):
        return (request.command[0].strip() or "exec")[:200]
    if isinstance(request, AgentJob):
        return " ".join(request.task.split())[:80] or "agent"
    return request.model or "llm"


def _event(row: sa.Row[Any]) -> JobEvent:
    return JobEvent(sequence=row.sequence, time=row.time, type=row.type, attempt=row.attempt, data=row.data)
