"""``/v1/people``, ``/v1/rotations``, ``/v1/policies``: who can be told, who is on call, in which order."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Path, Query
from starlette.responses import Response

from minoots.contracts import (
    FieldProblem,
    OnCall,
    Page,
    Person,
    PersonSave,
    Policy,
    PolicySave,
    Rotation,
    RotationSave,
)
from minoots.contracts.base import Instant, Part
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, Limit
from minoots_api.principals import EscalationsReader, EscalationsWriter
from minoots_api.routing import Router
from minoots_api.timers.destinations import require_allowed, require_ladder_allowed
from minoots_platform.escalating import RotationFault, check_rotation, on_call, shifts
from minoots_platform.identity import Principal
from minoots_platform.records import documents, targets, tellable
from minoots_platform.records.documents import Kind
from minoots_platform.records.masking import masked_actions

router = Router(prefix="/v1", tags=["escalations"])

_LONGEST = timedelta(days=366)
_MOST_SHIFTS = 1000

DocumentId = Annotated[str, Path(max_length=63, examples=["ada"])]


@router.post("/people", response_model=Person)
async def save_person(spec: PersonSave, gateway: Here, principal: EscalationsWriter) -> Person:
    """Save somebody who can be told; saving them again replaces them."""
    require_allowed(spec.contacts, gateway.settings, principal, "body.contacts")
    async with gateway.database.write() as connection:
        await targets.require(connection, principal.tenant, {"body.contacts": spec.contacts})
        row = await _save(connection, gateway, principal, "person", spec.id, spec)
    return _person(row)


@router.get("/people", response_model=Page[Person])
async def list_people(
    gateway: Here, principal: EscalationsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Person]:
    """List people, the newest first."""
    page = await _page(gateway, principal, "person", limit, cursor)
    return Page[Person](items=tuple(map(_person, page.items)), next_cursor=page.next_cursor)


@router.get("/people/{id}", response_model=Person)
async def get_person(id: DocumentId, gateway: Here, principal: EscalationsReader) -> Person:
    """Get a person."""
    return _person(await _get(gateway, principal, "person", id))


@router.delete("/people/{id}", status_code=204)
async def remove_person(id: DocumentId, gateway: Here, principal: EscalationsWriter) -> Response:
    """Remove a person: ladders pass them over."""
    return await _remove(gateway, principal, "person", id)


@router.post("/rotations", response_model=Rotation)
async def save_rotation(spec: RotationSave, gateway: Here, principal: EscalationsWriter) -> Rotation:
    """Save who is on call when; saving it again replaces it."""
    try:
        check_rotation(spec.layers, spec.overrides)
    except RotationFault as fault:
        raise Failure(
            FailureKind.INVALID,
            f"the rotation is not possible: expected {fault.expected}",
            remedy="GET /v1/rotations/{id}/shifts shows who would be on call when.",
            errors=(FieldProblem(field=f"body.{fault.field}", expected=fault.expected, got=fault.got),),
        ) from fault
    async with gateway.database.write() as connection:
        for index, layer in enumerate(spec.layers):
            place = f"body.layers.{index}.participants"
            await tellable.require_who(connection, principal.tenant, layer.participants, place)
        stand_ins = [one.who for one in spec.overrides]
        await tellable.require_who(connection, principal.tenant, stand_ins, "body.overrides")
        row = await _save(connection, gateway, principal, "rotation", spec.id, spec)
    return _rotation(row, gateway.clock())


@router.get("/rotations", response_model=Page[Rotation])
async def list_rotations(
    gateway: Here, principal: EscalationsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Rotation]:
    """List rotations and who is on call now, the newest first."""
    page = await _page(gateway, principal, "rotation", limit, cursor)
    now = gateway.clock()
    return Page[Rotation](
        items=tuple(_rotation(row, now) for row in page.items), next_cursor=page.next_cursor
    )


@router.get("/rotations/{id}", response_model=Rotation)
async def get_rotation(id: DocumentId, gateway: Here, principal: EscalationsReader) -> Rotation:
    """Get a rotation and who is on call now."""
    return _rotation(await _get(gateway, principal, "rotation", id), gateway.clock())


@router.get("/rotations/{id}/shifts", response_model=OnCall)
async def list_shifts(
    id: DocumentId,
    gateway: Here,
    principal: EscalationsReader,
    since: Annotated[Instant | None, Query(description="Default: now.")] = None,
    until: Annotated[Instant | None, Query(description="Default: four weeks later.")] = None,
) -> OnCall:
    """Show who is on call when, without gaps; a gap is a shift of nobody."""
    now = gateway.clock()
    found = _rotation(await _get(gateway, principal, "rotation", id), now)
    begin = since or now
    end = until or begin + timedelta(weeks=4)
    if not begin < end <= begin + _LONGEST:
        problem = FieldProblem(
            field="query.until", expected="a time within a year after since", got=end.isoformat()
        )
        raise Failure(FailureKind.INVALID, "the range is not possible", errors=(problem,))
    return OnCall(shifts=tuple(islice(shifts(found.layers, found.overrides, begin, end), _MOST_SHIFTS)))


@router.delete("/rotations/{id}", status_code=204)
async def remove_rotation(id: DocumentId, gateway: Here, principal: EscalationsWriter) -> Response:
    """Remove a rotation: ladders pass it over."""
    return await _remove(gateway, principal, "rotation", id)


@router.post("/policies", response_model=Policy)
async def save_policy(spec: PolicySave, gateway: Here, principal: EscalationsWriter) -> Policy:
    """Save a ladder under a name; saving it again replaces it for escalations to come."""
    require_ladder_allowed(spec, gateway.settings, principal, "body")
    async with gateway.database.write() as connection:
        await tellable.require_ladder(connection, principal.tenant, spec.ladder, "body.ladder")
        row = await _save(connection, gateway, principal, "policy", spec.id, spec)
    return _policy(row)


@router.get("/policies", response_model=Page[Policy])
async def list_policies(
    gateway: Here, principal: EscalationsReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Policy]:
    """List policies, the newest first."""
    page = await _page(gateway, principal, "policy", limit, cursor)
    return Page[Policy](items=tuple(map(_policy, page.items)), next_cursor=page.next_cursor)


@router.get("/policies/{id}", response_model=Policy)
async def get_policy(id: DocumentId, gateway: Here, principal: EscalationsReader) -> Policy:
    """Get a policy."""
    return _policy(await _get(gateway, principal, "policy", id))


@router.delete("/policies/{id}", status_code=204)
async def remove_policy(id: DocumentId, gateway: Here, principal: EscalationsWriter) -> Response:
    """Remove a policy; escalations that began with it go on."""
    return await _remove(gateway, principal, "policy", id)


async def _save(
    connection: Any, gateway: Gateway, principal: Principal, kind: Kind, document_id: str, spec: Part
) -> sa.Row[Any]:
    return await documents.save(
        connection,
        principal.tenant,
        kind,
        document_id,
        spec.model_dump(mode="json", exclude={"id"}),
        now=gateway.clock(),
        actor=principal.subject,
    )


async def _get(gateway: Gateway, principal: Principal, kind: Kind, document_id: str) -> sa.Row[Any]:
    async with gateway.database.read() as connection:
        return await documents.get(connection, principal.tenant, kind, document_id)


async def _page(
    gateway: Gateway, principal: Principal, kind: Kind, limit: int, cursor: str | None
) -> Page[Any]:
    async with gateway.database.read() as connection:
        return await documents.page(connection, principal.tenant, kind, limit=limit, cursor=cursor)


async def _remove(gateway: Gateway, principal: Principal, kind: Kind, document_id: str) -> Response:
    async with gateway.database.write() as connection:
        await documents.remove(
            connection, principal.tenant, kind, document_id, now=gateway.clock(), actor=principal.subject
        )
    return Response(status_code=204)


def _person(row: sa.Row[Any]) -> Person:
    spec = row.spec | {"contacts": masked_actions(row.spec["contacts"])}
    return Person.model_validate({"id": row.id, "updated_at": row.updated_at, **spec})


def _rotation(row: sa.Row[Any], now: datetime) -> Rotation:
    found = Rotation.model_validate({"id": row.id, "updated_at": row.updated_at, "on_call": None, **row.spec})
    return found.model_copy(update={"on_call": on_call(found.layers, found.overrides, now)})


def _policy(row: sa.Row[Any]) -> Policy:
    return Policy.model_validate({"id": row.id, "updated_at": row.updated_at, **row.spec})
