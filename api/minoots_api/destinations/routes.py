"""``/v1/destinations``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from minoots.contracts import Destination, DestinationOpen, DestinationSave, FieldProblem, Page
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, Limit, known_form
from minoots_api.principals import TimersReader, TimersWriter
from minoots_api.routing import Router
from minoots_platform.connectors import installed
from minoots_platform.records import destination_commands, destinations

router = Router(prefix="/v1/destinations", tags=["destinations"])


def _require_known(url: str) -> None:
    kind = url.partition(":")[0].lower()
    known = sorted({"http", "https", *installed()})
    if kind not in known:
        expected = f"a URL, or one that begins with {', '.join(one + ':' for one in known[:-2])}"
        raise Failure(
            FailureKind.INVALID,
            "nothing can be sent to such a destination",
            remedy="GET /v1/timers/{id}/attempts and /v1/dead-letters show what destinations are called.",
            errors=(FieldProblem(field="body.url", expected=expected, got=url[:100]),),
        )


PublicId = Annotated[str, Path()]


@router.get("", response_model=Page[Destination])
async def list_destinations(
    gateway: Here, principal: TimersReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Destination]:
    """List destinations that have settings or had trouble, those that changed last first."""
    async with gateway.database.read() as connection:
        return await destinations.page(connection, principal.tenant, limit=limit, cursor=cursor)


@router.post("", response_model=Destination)
async def save_destination(wanted: DestinationSave, gateway: Here, principal: TimersWriter) -> Destination:
    """Say how fast deliveries may go to a destination, and when its circuit opens."""
    _require_known(wanted.url)
    async with gateway.database.write() as connection:
        saved, released = await destination_commands.save(
            connection, principal.tenant, wanted, now=gateway.clock(), actor=principal.subject
        )
    gateway.in_background(gateway.handover.deliveries(principal.tenant, released))
    return saved


@router.get("/{id}", response_model=Destination)
async def get_destination(id: PublicId, gateway: Here, principal: TimersReader) -> Destination:
    """Get a destination: its limits, its circuit, who goes there and who waits."""
    known_form(id, "dst", "destination")
    async with gateway.database.read() as connection:
        return await destinations.get(connection, principal.tenant, id)


@router.post("/{id}/open", response_model=Destination)
async def open_destination(
    id: PublicId, gateway: Here, principal: TimersWriter, wanted: DestinationOpen | None = None
) -> Destination:
    """Open the circuit: deliveries wait, and lose no attempt, until somebody closes it."""
    known_form(id, "dst", "destination")
    async with gateway.database.write() as connection:
        return await destination_commands.open_circuit(
            connection,
            principal.tenant,
            id,
            reason=None if wanted is None else wanted.reason,
            now=gateway.clock(),
            actor=principal.subject,
        )


@router.post("/{id}/close", response_model=Destination)
async def close_destination(id: PublicId, gateway: Here, principal: TimersWriter) -> Destination:
    """Close the circuit: deliveries go there again, also to one that was gone or disabled."""
    known_form(id, "dst", "destination")
    async with gateway.database.write() as connection:
        closed, released = await destination_commands.close_circuit(
            connection, principal.tenant, id, now=gateway.clock(), actor=principal.subject
        )
    gateway.in_background(gateway.handover.deliveries(principal.tenant, released))
    return closed


@router.delete("/{id}", status_code=204)
async def remove_destination(id: PublicId, gateway: Here, principal: TimersWriter) -> None:
    """Forget the limits and the circuit of a destination; what waits for them goes."""
    known_form(id, "dst", "destination")
    async with gateway.database.write() as connection:
        released = await destination_commands.remove(
            connection, principal.tenant, id, now=gateway.clock(), actor=principal.subject
        )
    gateway.in_background(gateway.handover.deliveries(principal.tenant, released))
