"""``/v1/sandboxes``: sandboxes that stand are opened, looked at, suspended, closed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import Page, Sandbox, SandboxCreate, SandboxSnapshot, SandboxState
from minoots_api.commands import run_once
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, IdempotencyKey, LabelFilter, Limit, known_form
from minoots_api.principals import SandboxesReader, SandboxesWriter
from minoots_api.problems import THROTTLED
from minoots_api.routing import Router
from minoots_platform.allowances import require_possible
from minoots_platform.identity import Principal
from minoots_platform.records import events, sandboxes
from minoots_platform.telemetry import audit
from minoots_platform.telemetry.trace_context import current_traceparent
from minoots_workflows.sandboxes.contracts import SandboxDoes

from .asking import asked

router = Router(prefix="/v1/sandboxes", tags=["sandboxes"])

Wait = Annotated[
    float,
    Query(ge=0, le=60, description="Seconds to wait for it to open, or to end; answered as soon as it has."),
]
ClosingWait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait until it has ended.")]


def sandbox_id(id: Annotated[str, Path(examples=["sbx_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a sandbox from the path."""
    return known_form(id, "sbx", "sandbox")


SandboxId = Annotated[str, Depends(sandbox_id)]


def admission(gateway: Gateway) -> sandboxes.Admission:
    """Return what is asked before a sandbox is opened."""
    standing = gateway.settings.sandbox.standing
    return sandboxes.Admission(
        most=standing.per_tenant,
        idle=timedelta(seconds=standing.idle_timeout),
        lifetime=timedelta(seconds=standing.lifetime),
        longest=timedelta(seconds=standing.max_lifetime),
        open_within=timedelta(seconds=standing.open_within),
    )


@router.post("", status_code=201, response_model=Sandbox, responses=THROTTLED)
async def open_sandbox(
    request: Request,
    sandbox: SandboxCreate,
    gateway: Here,
    principal: SandboxesWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Open a sandbox that stands until it is closed, unused for too long, or too old.

    It is ``opening`` at first. Programs run in it as jobs of the kind ``exec`` that name it.
    """
    require_possible(sandbox, gateway.settings)

    async def work(connection: AsyncConnection) -> Sandbox:
        return await sandboxes.accept(
            connection,
            principal.tenant,
            sandbox,
            admission(gateway),
            now=gateway.clock(),
            actor=principal.subject,
            traceparent=current_traceparent(),
        )

    answered = await run_once(gateway, request, principal, key, work, status=201)
    if not answered.replayed:
        made = answered.answer["id"]
        about = {"sandbox": made, "tier": sandbox.tier.value, "network": list(sandbox.network)}
        audit("sandbox.wanted", actor=principal.subject, tenant=principal.tenant, decision="allow", **about)
        await gateway.hand_over(gateway.handover.sandbox(made))
    return answered.response(Location=f"/v1/sandboxes/{answered.answer['id']}")


@router.get("", response_model=Page[Sandbox])
async def list_sandboxes(
    gateway: Here,
    principal: SandboxesReader,
    state: Annotated[list[SandboxState] | None, Query(max_length=6)] = None,
    label: Annotated[
        list[LabelFilter] | None,
        Query(max_length=32, description="`key:value`; repeat for several, all must match."),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Sandbox]:
    """List sandboxes, the newest first."""
    labels = tuple((key, value) for key, _, value in (one.partition(":") for one in label or ()))
    wanted = sandboxes.SandboxQuery(tuple(state or ()), labels, limit, cursor)
    async with gateway.database.read() as connection:
        return await sandboxes.page(connection, principal.tenant, wanted)


@router.get("/{id}", response_model=Sandbox)
async def get_sandbox(
    sandbox_id: SandboxId, gateway: Here, principal: SandboxesReader, wait: Wait = 0
) -> Sandbox:
    """Get a sandbox; with ``wait``, answer as soon as it is open or has ended."""
    return await _once(gateway, principal, sandbox_id, wait, opening=True)


@router.delete("/{id}", response_model=Sandbox)
async def close_sandbox(
    sandbox_id: SandboxId, gateway: Here, principal: SandboxesWriter, wait: ClosingWait = 0
) -> Sandbox:
    """Close a sandbox: what runs in it is ended, and nothing of it is left. May be repeated."""
    async with gateway.database.write() as connection:
        sandbox, tell = await sandboxes.close(
            connection, principal.tenant, sandbox_id, now=gateway.clock(), actor=principal.subject
        )
    if tell:
        audit(
            "sandbox.close_wanted",
            actor=principal.subject,
            tenant=principal.tenant,
            decision="allow",
            sandbox=sandbox_id,
        )
        await gateway.hand_over(gateway.handover.sandbox(sandbox_id, "closed"))
    return await _once(gateway, principal, sandbox_id, wait, opening=False) if wait else sandbox


@router.post("/{id}/suspend", response_model=Sandbox)
async def suspend_sandbox(sandbox_id: SandboxId, gateway: Here, principal: SandboxesWriter) -> Sandbox:
    """Have whatever runs in a sandbox stand still; it is not idle then. May be repeated."""
    return await _paused(gateway, principal, sandbox_id, SandboxDoes.SUSPEND)


@router.post("/{id}/resume", response_model=Sandbox)
async def resume_sandbox(sandbox_id: SandboxId, gateway: Here, principal: SandboxesWriter) -> Sandbox:
    """Let whatever was suspended in a sandbox go on. May be repeated."""
    return await _paused(gateway, principal, sandbox_id, SandboxDoes.RESUME)


@router.post("/{id}/snapshot", response_model=SandboxSnapshot)
async def snapshot_sandbox(
    sandbox_id: SandboxId, gateway: Here, principal: SandboxesWriter
) -> SandboxSnapshot:
    """Keep the files of a sandbox: another one may begin with them (``from_snapshot``)."""
    found = await asked(gateway, principal, sandbox_id, SandboxDoes.SNAPSHOT)
    return SandboxSnapshot.model_validate(found)


async def _paused(gateway: Gateway, principal: Principal, sandbox_id: str, does: SandboxDoes) -> Sandbox:
    await asked(gateway, principal, sandbox_id, does)
    async with gateway.database.read() as connection:
        return await sandboxes.get(connection, principal.tenant, sandbox_id)


async def _once(
    gateway: Gateway, principal: Principal, sandbox_id: str, wait: float, *, opening: bool
) -> Sandbox:
    """Return a sandbox once it has ended, or with ``opening`` also once it stands."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    tenant = principal.tenant
    with gateway.tailer.following(tenant) as following:
        while True:
            async with gateway.database.read() as connection:
                # The number first: what happens after it wakes us, what happened before it is in the row.
                seen = await events.last_sequence(connection, tenant) if wait else 0
                found = await sandboxes.get(connection, tenant, sandbox_id)
            left = deadline - loop.time()
            there = opening and found.state is not SandboxState.OPENING
            if found.state.final or there or left <= 0 or gateway.stopping.is_set():
                return found
            await following.wait(seen, left)
