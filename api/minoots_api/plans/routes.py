"""``/v1/plans``: make, look up, list, draw and change plans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from minoots.contracts import (
    Cancel,
    Event,
    Page,
    Plan,
    PlanCreate,
    PlanGraph,
    PlanNode,
    PlanPatch,
    PlanState,
    PlanSummary,
)
from minoots_api.commands import run_once
from minoots_api.events.about import After, events_about
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, IdempotencyKey, IfMatch, Limit, Text, known_form
from minoots_api.principals import TimersReader, TimersWriter
from minoots_api.routing import Router
from minoots_api.timers.accepting import require_open
from minoots_api.timers.destinations import require_allowed, require_ladder_allowed
from minoots_api.waiting import Wait, when_final
from minoots_platform.identity import Principal
from minoots_platform.planning import Drawn, PlanFault, check, draw
from minoots_platform.records import plan_reading, plans
from minoots_platform.telemetry.trace_context import current_traceparent

router = Router(prefix="/v1/plans", tags=["plans"])


def plan_id(id: Annotated[str, Path(examples=["pln_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a plan from the path."""
    return known_form(id, "pln", "plan")


PlanId = Annotated[str, Depends(plan_id)]


@dataclass(frozen=True)
class Runner:
    """Runs a command on a plan once for each idempotency key, and hands over what it changed."""

    request: Request
    gateway: Gateway
    principal: Principal
    if_generation: int | None
    key: str | None
    now: datetime

    async def __call__(
        self, plan_id: str, command: Callable[..., Awaitable[Plan]], *arguments: Any
    ) -> Response:
        """Answer with the plan as it stands after ``command``."""

        async def work(connection: AsyncConnection) -> Plan:
            return await command(
                connection,
                self.principal.tenant,
                plan_id,
                *arguments,
                now=self.now,
                actor=self.principal.subject,
                if_generation=self.if_generation,
            )

        answered = await run_once(self.gateway, self.request, self.principal, self.key, work)
        if not answered.replayed:
            await _hand_over(self.gateway, plan_id)
        return answered.response(ETag=f'"{answered.answer["generation"]}"')


def runner(
    request: Request, gateway: Here, principal: TimersWriter, generation: IfMatch, key: IdempotencyKey = None
) -> Runner:
    """Return what runs the command of this request."""
    return Runner(request, gateway, principal, generation, key, gateway.clock())


Run = Annotated[Runner, Depends(runner)]


@router.post("", status_code=201, response_model=Plan)
async def create_plan(
    spec: PlanCreate, request: Request, gateway: Here, principal: TimersWriter, key: IdempotencyKey = None
) -> Response:
    """Make a plan. It is checked and kept as a whole before the answer is sent, and begins right after."""
    await require_open(gateway, principal.tenant)
    await _require_possible(gateway, principal, spec.nodes, "nodes")
    common: Any = {"now": gateway.clock(), "actor": principal.subject, "traceparent": current_traceparent()}

    async def work(connection: AsyncConnection) -> Plan:
        return await plans.accept(connection, principal.tenant, spec, **common)

    answered = await run_once(gateway, request, principal, key, work, status=201)
    plan_id = answered.answer["id"]
    if not answered.replayed:
        await _hand_over(gateway, plan_id)
    return answered.response(Location=f"/v1/plans/{plan_id}", ETag=f'"{answered.answer["generation"]}"')


@router.get("", response_model=Page[PlanSummary])
async def list_plans(
    gateway: Here,
    principal: TimersReader,
    state: Annotated[list[PlanState] | None, Query(max_length=5)] = None,
    name: Annotated[Text | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List plans without their nodes, the newest first."""
    wanted = plan_reading.PlanQuery(states=tuple(state or ()), name=name, limit=limit, cursor=cursor)
    async with gateway.database.read() as connection:
        page = await plan_reading.page(connection, principal.tenant, wanted)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{id}", response_model=Plan)
async def get_plan(plan_id: PlanId, gateway: Here, principal: TimersReader, wait: Wait = 0) -> Response:
    """Get a plan with every node as it stands; with ``wait``, answer as soon as it has ended."""
    tenant = principal.tenant
    plan = await when_final(gateway, tenant, lambda read: plan_reading.get(read, tenant, plan_id), wait)
    etag = {"ETag": f'"{plan.generation}"'}
    return Response(plan.model_dump_json(), headers=etag, media_type="application/json")


@router.get("/{id}/graph", response_model=PlanGraph)
async def draw_plan(plan_id: PlanId, gateway: Here, principal: TimersReader) -> PlanGraph:
    """Draw a plan, in Mermaid and in DOT."""
    async with gateway.database.read() as connection:
        plan = await plan_reading.get(connection, principal.tenant, plan_id)
    mermaid, dot = draw(
        Drawn(
            id=node.id,
            state=node.state,
            after=node.after,
            join=node.join,
            when=node.when,
            due=None if node.due_at is None else node.due_at.isoformat(timespec="seconds"),
        )
        for node in plan.nodes
    )
    return PlanGraph(mermaid=mermaid, dot=dot)


@router.patch("/{id}", response_model=Plan)
async def change_plan(plan_id: PlanId, patch: PlanPatch, run: Run) -> Response:
    """Add nodes, move times, call nodes off; with ``If-Match`` only if nobody changed the plan meanwhile."""
    _require_reachable(run.gateway, run.principal, patch.add, "add")
    return await run(plan_id, plans.update, patch)


@router.post("/{id}/pause", response_model=Plan)
async def pause_plan(plan_id: PlanId, run: Run) -> Response:
    """Let nothing new begin, and hold the timers that wait."""
    return await run(plan_id, plans.pause)


@router.post("/{id}/resume", response_model=Plan)
async def resume_plan(plan_id: PlanId, run: Run) -> Response:
    """Let a paused plan go on; deadlines are put off by as long as it was paused."""
    return await run(plan_id, plans.resume)


@router.post("/{id}/cancel", response_model=Plan)
async def cancel_plan(plan_id: PlanId, run: Run, asked: Cancel | None = None) -> Response:
    """End a plan for good, with every node that has not ended; what is being sent goes on."""
    return await run(plan_id, plans.cancel, asked.reason if asked else None)


@router.get("/{id}/events", response_model=Page[Event])
async def plan_events(
    plan_id: PlanId,
    gateway: Here,
    principal: TimersReader,
    cursor: After = 0,
    limit: Limit = 100,
) -> Page[Event]:
    """List what happened to a plan and its nodes, the oldest first; its timers have events of their own."""
    async with gateway.database.read() as connection:
        await plan_reading.row_of(connection, principal.tenant, plan_id)
        return await events_about(connection, principal.tenant, plan_id, after=cursor, limit=limit)


async def _hand_over(gateway: Gateway, plan_id: str) -> None:
    await gateway.hand_over(gateway.handover.plan(plan_id))
    gateway.in_background(gateway.handover.timers_of(plan_id))


async def _require_possible(
    gateway: Gateway, principal: Principal, nodes: Sequence[PlanNode], field: str
) -> None:
    _require_reachable(gateway, principal, nodes, field)
    try:
        # In a thread: a thousand expressions take a quarter of a second to compile.
        await run_in_threadpool(check, nodes, field=field)
    except PlanFault as fault:
        raise plans.not_possible(fault) from fault


def _require_reachable(gateway: Gateway, principal: Principal, nodes: Sequence[PlanNode], field: str) -> None:
    for index, node in enumerate(nodes):
        place = f"body.{field}.{index}.timer"
        require_allowed(node.timer.actions, gateway.settings, principal, f"{place}.actions")
        require_ladder_allowed(node.timer.acknowledge, gateway.settings, principal, f"{place}.acknowledge")
