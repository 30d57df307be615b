"""``/v1/heartbeats``: expect calls, and take them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from minoots.contracts import Heartbeat, HeartbeatSave, Page
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, Limit
from minoots_api.principals import EscalationsReader, EscalationsWriter
from minoots_api.routing import Router
from minoots_platform.records import heartbeats

router = Router(prefix="/v1/heartbeats", tags=["escalations"])

HeartbeatId = Annotated[str, Path(max_length=63, examples=["nightly-backup"])]


@router.post("", response_model=Heartbeat)
async def save_heartbeat(spec: HeartbeatSave, gateway: Here, principal: EscalationsWriter) -> Heartbeat:
    """Expect calls; saving it again changes it. Silence counts from the first call on."""
    async with gateway.database.write() as connection:
        saved = await heartbeats.save(
            connection, principal.tenant, spec, now=gateway.clock(), actor=principal.subject
        )
    await gateway.hand_over(gateway.handover.heartbeat(principal.tenant, spec.id))
    return saved


@router.get("", response_model=Page[Heartbeat])
async def list_heartbeats(
    gateway: Here, principal: EscalationsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Heartbeat]:
    """List heartbeats, the newest first."""
    async with gateway.database.read() as connection:
        return await heartbeats.page(connection, principal.tenant, limit=limit, cursor=cursor)


@router.get("/{id}", response_model=Heartbeat)
async def get_heartbeat(id: HeartbeatId, gateway: Here, principal: EscalationsReader) -> Heartbeat:
    """Get a heartbeat."""
    async with gateway.database.read() as connection:
        return await heartbeats.get(connection, principal.tenant, id)


@router.post("/{id}", response_model=Heartbeat)
async def call_in(id: HeartbeatId, gateway: Here, principal: EscalationsWriter) -> Heartbeat:
    """Call in: all is well. After a silence this resolves the escalation that it began."""
    async with gateway.database.write() as connection:
        found, look, resolved = await heartbeats.beat(
            connection, principal.tenant, id, now=gateway.clock(), actor=principal.subject
        )
    if look:
        await gateway.hand_over(gateway.handover.heartbeat(principal.tenant, id))
    if resolved is not None:
        await gateway.hand_over(gateway.handover.escalation(resolved))
    return found


@router.delete("/{id}", status_code=204)
async def remove_heartbeat(id: HeartbeatId, gateway: Here, principal: EscalationsWriter) -> Response:
    """Expect it no longer; an escalation that it began goes on."""
    async with gateway.database.write() as connection:
        await heartbeats.remove(
            connection, principal.tenant, id, now=gateway.clock(), actor=principal.subject
        )
    await gateway.hand_over(gateway.handover.heartbeat(principal.tenant, id, "removed"))
    return Response(status_code=204)
