"""``/v1/escalations``: begin, look up, list and answer escalations."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import (
    AcknowledgeEscalation,
    AcknowledgeTimes,
    Cancel,
    DeclineEscalation,
    Escalation,
    EscalationCreate,
    EscalationState,
    Event,
    HandOn,
    Page,
    ResolveEscalation,
    SnoozeEscalation,
)
from minoots.contracts.base import Instant
from minoots_api.commands import run_once
from minoots_api.events.about import After, events_about
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, IdempotencyKey, Limit, Text, known_form
from minoots_api.principals import EscalationsReader, EscalationsWriter
from minoots_api.routing import Router
from minoots_api.timers.accepting import require_open
from minoots_api.timers.destinations import require_ladder_allowed
from minoots_platform.records import escalation_reading, escalations
from minoots_platform.telemetry.trace_context import current_traceparent

from .acting import Acting

router = Router(prefix="/v1/escalations", tags=["escalations"])

_MONTH = timedelta(days=30)


def escalation_id(id: Annotated[str, Path(examples=["esc_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of an escalation from the path."""
    return known_form(id, "esc", "escalation")


EscalationId = Annotated[str, Depends(escalation_id)]


@router.post("", status_code=201, response_model=Escalation)
async def create_escalation(
    spec: EscalationCreate,
    request: Request,
    gateway: Here,
    principal: EscalationsWriter,
    key: IdempotencyKey = None,
) -> Response:
    """Begin an escalation: the first on the ladder are told at once."""
    await require_open(gateway, principal.tenant)
    require_ladder_allowed(spec, gateway.settings, principal, "body")
    common: Any = {"now": gateway.clock(), "actor": principal.subject, "traceparent": current_traceparent()}

    async def work(connection: AsyncConnection) -> Escalation:
        return await escalations.accept(connection, principal.tenant, spec, **common)

    answered = await run_once(gateway, request, principal, key, work, status=201)
    public_id = answered.answer["id"]
    if not answered.replayed:
        await gateway.hand_over(gateway.handover.escalation(public_id))
    return answered.response(
        Location=f"/v1/escalations/{public_id}", ETag=f'"{answered.answer["generation"]}"'
    )


@router.get("", response_model=Page[Escalation])
async def list_escalations(
    gateway: Here,
    principal: EscalationsReader,
    state: Annotated[list[EscalationState] | None, Query(max_length=6)] = None,
    timer: Annotated[Text | None, Query(max_length=40, description="Id of the timer that awaits it.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List escalations, the newest first."""
    wanted = escalation_reading.EscalationQuery(
        states=tuple(state or ()), timer_id=timer, limit=limit, cursor=cursor
    )
    async with gateway.database.read() as connection:
        page = await escalation_reading.page(connection, principal.tenant, wanted)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/times", response_model=Page[AcknowledgeTimes])
async def acknowledge_times(
    gateway: Here,
    principal: EscalationsReader,
    since: Annotated[Instant | None, Query(description="Told then or later; default: 30 days ago.")] = None,
) -> Page[AcknowledgeTimes]:
    """Show how quickly each acknowledges what they are told: median and 95th percentile, in seconds."""
    async with gateway.database.read() as connection:
        found = await escalation_reading.times(
            connection, principal.tenant, since=since or gateway.clock() - _MONTH
        )
    return Page[AcknowledgeTimes](items=found)


@router.get("/{id}", response_model=Escalation)
async def get_escalation(
    escalation_id: EscalationId, gateway: Here, principal: EscalationsReader
) -> Escalation:
    """Get an escalation: who was told, and who did what."""
    async with gateway.database.read() as connection:
        return await escalation_reading.get(connection, principal.tenant, escalation_id)


@router.post("/{id}/acknowledge", response_model=Escalation)
async def acknowledge_escalation(
    escalation_id: EscalationId, act: Acting, asked: AcknowledgeEscalation | None = None
) -> Response:
    """Take it on: when enough have, nobody else is told. 403 for somebody who may not, and it is audited."""
    given = asked or AcknowledgeEscalation()
    return await act(escalation_id, escalations.acknowledge, given.by, None, given.result)


@router.post("/{id}/decline", response_model=Escalation)
async def decline_escalation(
    escalation_id: EscalationId, act: Acting, asked: DeclineEscalation | None = None
) -> Response:
    """Not me: when all that were told have declined, the next are told at once."""
    given = asked or DeclineEscalation()
    return await act(escalation_id, escalations.decline, given.by, given.reason)


@router.post("/{id}/hand-on", response_model=Escalation)
async def hand_on_escalation(escalation_id: EscalationId, asked: HandOn, act: Acting) -> Response:
    """Have somebody else told at once, who may acknowledge from now on."""
    return await act(escalation_id, escalations.hand_on, asked.by, asked.reason, asked.to)


@router.post("/{id}/snooze", response_model=Escalation)
async def snooze_escalation(escalation_id: EscalationId, asked: SnoozeEscalation, act: Acting) -> Response:
    """Tell nobody for a while; then the ladder begins anew."""
    return await act(escalation_id, escalations.snooze, asked.by, None, asked.after)


@router.post("/{id}/resolve", response_model=Escalation)
async def resolve_escalation(
    escalation_id: EscalationId, act: Acting, asked: ResolveEscalation | None = None
) -> Response:
    """End it: it is dealt with."""
    given = asked or ResolveEscalation()
    return await act(escalation_id, escalations.resolve, given.by, given.reason)


@router.post("/{id}/cancel", response_model=Escalation)
async def cancel_escalation(
    escalation_id: EscalationId, act: Acting, asked: Cancel | None = None
) -> Response:
    """End it for another reason; a timer that awaited it has failed then."""
    return await act(escalation_id, escalations.cancel, None, asked.reason if asked else None)


@router.get("/{id}/events", response_model=Page[Event])
async def escalation_events(
    escalation_id: EscalationId,
    gateway: Here,
    principal: EscalationsReader,
    cursor: After = 0,
    limit: Limit = 100,
) -> Page[Event]:
    """List what happened to an escalation, the oldest first."""
    async with gateway.database.read() as connection:
        await escalation_reading.row_of(connection, principal.tenant, escalation_id)
        return await events_about(connection, principal.tenant, escalation_id, after=cursor, limit=limit)
