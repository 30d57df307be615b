"""What people do to destinations: say how fast, open the circuit, close it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Destination, DestinationSave, DestinationState, EventType
from minoots.errors import Failure, FailureKind

from . import admission, circuits, destinations, events


async def save(
    connection: AsyncConnection, tenant: str, wanted: DestinationSave, *, now: datetime, actor: str
) -> tuple[Destination, tuple[str, ...]]:
    """Keep the limits of a destination; return it and the deliveries that may ask now."""
    row, saved = await destinations.save(connection, tenant, wanted, now=now, actor=actor)
    await admission.forget_moments(connection, row, now)
    released = await admission.release(connection, row, now, most=circuits.AFTER_A_CHANGE)
    await events.append(connection, tenant, [saved])
    return await destinations.get(connection, tenant, row.id), tuple(released)


async def open_circuit(
    connection: AsyncConnection,
    tenant: str,
    destination_id: str,
    *,
    reason: str | None,
    now: datetime,
    actor: str,
) -> Destination:
    """Have nothing sent there until somebody closes the circuit.

    Raises:
        Failure: not_found; conflict, when somebody did already, or nothing is sent there anyway.
    """
    row = await destinations.row_of(connection, tenant, destination_id)
    state = DestinationState(row.state)
    by_hand = state is DestinationState.OPEN and row.probe_at is None
    if by_hand or state in (DestinationState.GONE, DestinationState.DISABLED):
        how = "open already" if by_hand else state.value
        raise Failure(
            FailureKind.CONFLICT,
            f"destination {destination_id} is {how}",
            remedy="Nothing needs doing: nothing is sent there.",
        )
    why = reason or f"opened by {actor}"
    await destinations.change(
        connection,
        row,
        state=DestinationState.OPEN.value,
        reason=why,
        changed_at=now,
        probe_at=None,
        probe_id=None,
        probe_until=None,
    )
    data = {"url": row.url, "reason": why, "by": actor, "probe_at": None, "trips": row.trips}
    await events.append(
        connection, tenant, [events.NewEvent(EventType.DESTINATION_OPENED, row.id, now, data)]
    )
    return await destinations.get(connection, tenant, destination_id)


async def close_circuit(
    connection: AsyncConnection, tenant: str, destination_id: str, *, now: datetime, actor: str
) -> tuple[Destination, tuple[str, ...]]:
    """Let deliveries go there again; return the destination and those that may ask now.

    Raises:
        Failure: not_found; conflict, when it is closed.
    """
    row = await destinations.row_of(connection, tenant, destination_id)
    if row.state == DestinationState.CLOSED.value:
        raise Failure(
            FailureKind.CONFLICT,
            f"the circuit of destination {destination_id} is closed already",
            remedy="Nothing needs doing: deliveries go there.",
        )
    learnt = circuits.Learnt()
    await circuits.close(connection, row, now, by=actor, learnt=learnt)
    await events.append(connection, tenant, learnt.told)
    return await destinations.get(connection, tenant, destination_id), tuple(learnt.released)
