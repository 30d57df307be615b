"""What people do to destinations: say how fast, open the circuit, close it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Destination, DestinationSave, DestinationState, EventType
from minoots.errors import Failure, FailureKind
from minoots_platform.circuits import open_for

from . import admission, circuits, destinations, events


async def save(
    connection: AsyncConnection, tenant: str, wanted: DestinationSave, *, now: datetime, actor: str
) -> tuple[Destination, tuple[str, ...]]:
    """Keep the limits of a destination; return it and the deliveries that may ask now."""
    row, saved = await destinations.save(connection, tenant, wanted, now=now, actor=actor)
    learnt = circuits.Learnt([saved])
    row = await _follow(connection, row, now, actor, learnt)
    await admission.forget_moments(connection, row, now)
    learnt.released += await admission.release(connection, row, now, most=circuits.AFTER_A_CHANGE)
    await events.append(connection, tenant, learnt.told)
    return await destinations.get(connection, tenant, row.id), tuple(learnt.released)


async def remove(
    connection: AsyncConnection, tenant: str, destination_id: str, *, now: datetime, actor: str
) -> tuple[str, ...]:
    """Forget what is known of a destination, its limits and its circuit; return who may go now.

    Raises:
        Failure: not_found.
    """
    row = await destinations.row_of(connection, tenant, destination_id)
    released = await admission.let_all_go(connection, row, now)
    await destinations.remove(connection, row)
    data = {"url": row.url, "by": actor}
    removed = events.NewEvent(EventType.DESTINATION_REMOVED, row.id, now, data)
    await events.append(connection, tenant, [removed])
    return tuple(released)


async def _follow(
    connection: AsyncConnection, row: sa.Row[Any], now: datetime, actor: str, learnt: circuits.Learnt
) -> sa.Row[Any]:
    """Have an open circuit follow the policy that was saved; one that was opened by hand stays."""
    if row.state != DestinationState.OPEN.value or row.probe_at is None:
        return row
    policy = destinations.limits_of(row).circuit
    if not policy.enabled:
        return await circuits.close(connection, row, now, by=actor, learnt=learnt)
    probe_at = min(row.probe_at, row.changed_at + open_for(policy, row.trips))
    row = await destinations.change(connection, row, probe_at=probe_at)
    await admission.appoint(connection, row, max(probe_at, now))
    return row


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
