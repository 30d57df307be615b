"""``/v1/jobs``: work that thinks or acts is submitted, followed, stopped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Body, Depends, Header, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import (
    Artifact,
    FieldProblem,
    Job,
    JobDecision,
    JobDetail,
    JobEvents,
    JobKind,
    JobMessage,
    JobRequest,
    JobState,
    Page,
)
from minoots.errors import Failure, FailureKind
from minoots_api.commands import Answered, run_once
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, IdempotencyKey, LabelFilter, Limit, Text, known_form
from minoots_api.principals import JobsReader, JobsWriter
from minoots_api.problems import THROTTLED
from minoots_api.routing import Router
from minoots_api.timers.destinations import require_tools_allowed
from minoots_api.waiting import Wait, when_final
from minoots_platform.allowances import require_possible
from minoots_platform.identity import Principal
from minoots_platform.records import agent_talk, contents, jobs
from minoots_platform.telemetry import audit
from minoots_platform.telemetry.trace_context import current_traceparent

from .seeing import detail_for, require_seen, shown_to
from .stream import JobStream

router = Router(prefix="/v1/jobs", tags=["jobs"])

_BYTES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
After = Annotated[int, Query(ge=0, le=2**62, description="The number of the event to go on after.")]


def job_id(id: Annotated[str, Path(examples=["job_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a job from the path."""
    return known_form(id, "job", "job")


JobId = Annotated[str, Depends(job_id)]


def admission(gateway: Gateway) -> jobs.Admission:
    """Return what is asked before a job is taken."""
    settings = gateway.settings.jobs
    return jobs.Admission(settings.max_unfinished, timedelta(seconds=settings.default_deadline))


@router.post("", status_code=201, response_model=Job, responses=THROTTLED)
async def submit_job(
    request: Request,
    job: Annotated[JobRequest, Body()],
    gateway: Here,
    principal: JobsWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Submit a job: a question to a language model (``llm``), a program (``exec``), or an ``agent``.

    An agent that may set timers, or read sessions and documents, needs a key that may, too.
    """
    require_tools_allowed(job, principal)
    require_possible(job, gateway.settings)

    async def work(connection: AsyncConnection) -> Job:
        return await jobs.accept(
            connection,
            principal.tenant,
            job,
            admission(gateway),
            now=gateway.clock(),
            actor=principal.subject,
            traceparent=current_traceparent(),
        )

    answered = await run_once(gateway, request, principal, key, work, status=201)
    if not answered.replayed:
        await gateway.hand_over(gateway.handover.job(answered.answer["id"]))
    return answered.response(Location=f"/v1/jobs/{answered.answer['id']}")


@router.get("", response_model=Page[Job])
async def list_jobs(
    gateway: Here,
    principal: JobsReader,
    state: Annotated[list[JobState] | None, Query(max_length=5)] = None,
    kind: Annotated[list[JobKind] | None, Query(max_length=5)] = None,
    name: Annotated[Text | None, Query(max_length=200)] = None,
    label: Annotated[
        list[LabelFilter] | None,
        Query(max_length=32, description="`key:value`; repeat for several, all must match."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Job]:
    """List jobs, the newest first."""
    labels = tuple((key, value) for key, _, value in (one.partition(":") for one in label or ()))
    wanted = jobs.JobQuery(tuple(state or ()), tuple(kind or ()), name, labels, limit, cursor)
    async with gateway.database.read() as connection:
        return await jobs.page(connection, principal.tenant, wanted, shown_to(principal))


@router.get("/{id}", response_model=JobDetail)
async def get_job(job_id: JobId, gateway: Here, principal: JobsReader, wait: Wait = 0) -> JobDetail:
    """Get a job; with ``wait``, answer as soon as it has ended."""
    tenant = principal.tenant
    found = await when_final(gateway, tenant, lambda read: agent_talk.detail(read, tenant, job_id), wait)
    return detail_for(found, principal)


@router.post("/{id}/cancel", response_model=Job)
async def cancel_job(
    job_id: JobId, request: Request, gateway: Here, principal: JobsWriter, key: IdempotencyKey = None
) -> Response:
    """Stop a job, and what it does; 409 when it has ended, cancelled or otherwise."""
    tenant, actor = principal.tenant, principal.subject

    async def work(connection: AsyncConnection) -> Job:
        # One that has not ended has no result that somebody might not see.
        return jobs.view(await jobs.cancel(connection, tenant, job_id, now=gateway.clock(), actor=actor))

    answered = await run_once(gateway, request, principal, key, work)
    if not answered.replayed:
        await gateway.hand_over(gateway.handover.job(job_id, "cancelled"))
    return answered.response()


@router.post("/{id}/approve", response_model=JobDetail)
async def approve_job(
    job_id: JobId,
    decision: JobDecision,
    request: Request,
    gateway: Here,
    principal: JobsWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Let an agent do what it asks leave for; 409 when it asks for nothing."""
    return await _decided(job_id, decision, request, gateway, principal, key, approved=True)


@router.post("/{id}/deny", response_model=JobDetail)
async def deny_job(
    job_id: JobId,
    decision: JobDecision,
    request: Request,
    gateway: Here,
    principal: JobsWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Refuse an agent what it asks leave for; it is told the ``reason``, and goes on."""
    return await _decided(job_id, decision, request, gateway, principal, key, approved=False)


async def _decided(
    job_id: str,
    decision: JobDecision,
    request: Request,
    gateway: Gateway,
    principal: Principal,
    key: str | None,
    *,
    approved: bool,
) -> Response:
    tenant, actor = principal.tenant, principal.subject
    if approved:
        await _require_theirs(gateway, principal, job_id)

    async def work(connection: AsyncConnection) -> JobDetail:
        now = gateway.clock()
        await agent_talk.decide(connection, tenant, job_id, decision, approved=approved, now=now, actor=actor)
        return detail_for(await agent_talk.detail(connection, tenant, job_id), principal)

    answered = await run_once(gateway, request, principal, key, work)
    if not answered.replayed:
        verdict = "allow" if approved else "deny"
        about = {"job_id": job_id, "call": decision.call}
        audit("job.tool_decided", actor=actor, tenant=tenant, decision=verdict, **about)
        await gateway.hand_over(gateway.handover.job(job_id, "approved" if approved else "denied"))
    return _as_seen_by(principal, answered).response()


def _as_seen_by(principal: Principal, answered: Answered) -> Answered:
    """Return an answer as somebody may see it: what is repeated was given to another key, maybe."""
    if not answered.replayed:
        return answered
    shown = detail_for(JobDetail.model_validate(answered.answer), principal)
    return replace(answered, answer=shown.model_dump(mode="json"))


async def _require_theirs(gateway: Gateway, principal: Principal, job_id: str) -> None:
    """Refuse who might not have submitted a job: its agent would do in another's name what they may not.

    Asked before an answer of earlier is looked for: an idempotency key is no leave.

    Raises:
        Failure: denied; not_found.
    """
    async with gateway.database.read() as connection:
        row = await jobs.row_of(connection, principal.tenant, job_id)
    require_tools_allowed(jobs.REQUEST.validate_python(row.spec), principal)


@router.post("/{id}/messages", response_model=JobDetail, responses=THROTTLED)
async def send_job_message(
    job_id: JobId,
    message: JobMessage,
    request: Request,
    gateway: Here,
    principal: JobsWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Say something to an agent at work: it reads it before it thinks the next time, and wakes for it."""
    await _require_theirs(gateway, principal, job_id)

    async def work(connection: AsyncConnection) -> JobDetail:
        now, actor = gateway.clock(), principal.subject
        await agent_talk.send(connection, principal.tenant, job_id, message.text, now=now, actor=actor)
        return await agent_talk.detail(connection, principal.tenant, job_id)

    answered = await run_once(gateway, request, principal, key, work)
    if not answered.replayed:
        await gateway.hand_over(gateway.handover.job(job_id, "message"))
    return _as_seen_by(principal, answered).response()


@router.get("/{id}/events", response_model=JobEvents)
async def job_events(
    job_id: JobId,
    gateway: Here,
    principal: JobsReader,
    after: After = 0,
    limit: Limit = 100,
    wait: Annotated[
        float, Query(ge=0, le=60, description="Seconds to wait for news; answered as soon as there are any.")
    ] = 0,
) -> JobEvents:
    """List what happened in a job, the oldest first; the ``state`` is final once you have read all."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    async with gateway.database.read() as connection:
        await require_seen(connection, principal, job_id)
    with gateway.job_watch.following(job_id):
        while True:
            async with gateway.database.read() as connection:
                found = await jobs.events_after(
                    connection, principal.tenant, job_id, after=after, limit=limit
                )
            left = deadline - loop.time()
            if found.items or found.state.final or left <= 0 or gateway.stopping.is_set():
                return found
            await gateway.job_watch.wait(job_id, after, left)


@router.get(
    "/{id}/events/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_job_events(
    job_id: JobId,
    gateway: Here,
    principal: JobsReader,
    after: After = 0,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=30, description="Where a reconnecting reader left off."),
    ] = None,
) -> Response:
    """Stream what happens in a job (server-sent events) until it has ended."""
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 18):
            problem = FieldProblem(
                field="header.Last-Event-ID", expected="a sequence number", got=last_event_id[:30]
            )
            raise Failure(FailureKind.INVALID, "Last-Event-ID is no sequence number", errors=(problem,))
        after = int(last_event_id)
    async with gateway.database.read() as connection:
        await require_seen(connection, principal, job_id)
    return JobStream(gateway, principal, job_id, after)


@router.get("/{id}/artifacts", response_model=Page[Artifact])
async def job_artifacts(job_id: JobId, gateway: Here, principal: JobsReader) -> Page[Artifact]:
    """List what a job has made, by name."""
    async with gateway.database.read() as connection:
        await require_seen(connection, principal, job_id)
        return Page[Artifact](items=await jobs.artifacts(connection, principal.tenant, job_id))


@router.get("/{id}/artifacts/{name:path}", response_class=Response, responses=_BYTES)
async def download_artifact(
    job_id: JobId,
    name: Annotated[Text, Path(max_length=512, examples=["stdout"])],
    gateway: Here,
    principal: JobsReader,
) -> Response:
    """Download what a job has made, by its name."""
    async with gateway.database.read() as connection:
        await require_seen(connection, principal, job_id)
        found = await jobs.artifacts(connection, principal.tenant, job_id)
    for artifact in found:
        if artifact.name == name:
            data = await contents.read(gateway.database, principal.tenant, artifact.sha256)
            return as_download(data, artifact.sha256)
    raise Failure(
        FailureKind.NOT_FOUND,
        f"the job has no artifact {name[:100]!r}",
        remedy=f"GET /v1/jobs/{job_id}/artifacts lists them.",
    )


def as_download(data: bytes, sha256: str) -> Response:
    """Return bytes as a file that no browser shows as a page of ours: whoever made it may mean harm."""
    headers = {
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "etag": f'"{sha256}"',
    }
    return Response(data, 200, headers, "application/octet-stream")
