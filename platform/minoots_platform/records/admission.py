"""Who may go to a destination now, who waits, and who is let go next.

A delivery asks at the moment of sending, in the transaction that would send it. One that has to wait does so
as a row: nothing polls. Whoever ends an attempt lets the next ones go (`release`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AttemptError, DeliveryState, DestinationState, RateLimit

from . import destinations, schema
from .attempts import Refusal

TABLE = schema.deliveries
LOOK_AGAIN: Final = timedelta(minutes=15)
"""Whoever waits for others is told; should that be lost, it asks again by itself after this."""

_FREE: Final = "free:"

PROBING: Final = timedelta(seconds=60)
"""How long nobody else tries while one does; longer than any attempt takes."""


class Hold(StrEnum):
    """What a delivery waits for."""

    TURN = "turn"
    """An earlier one of the same FIFO key."""
    CIRCUIT = "circuit"
    QUEUE = "queue"
    """Others that are under way, or were there before."""
    RATE = "rate"
    """The moment that the rate limit gave it, which is when it is planned."""


@dataclass(frozen=True)
class Held:
    """It has to wait."""

    by: Hold
    until: datetime


_ORDER: Final = (TABLE.c.created_at, TABLE.c.timer_id, TABLE.c.action, TABLE.c.id)
_SENDING: Final = TABLE.c.state == DeliveryState.SENDING.value
_WAITING: Final = TABLE.c.state == DeliveryState.WAITING.value
_RELEASED: Final = sa.and_(_WAITING, TABLE.c.held_by.is_(None))
# As the partial indexes have it: SQLite takes them only where the very words stand in the query.
_UNFINISHED: Final = sa.literal_column("deliveries.state IN ('sending', 'retrying', 'waiting')", sa.Boolean)


async def ask(
    connection: AsyncConnection, destination: sa.Row[Any], row: sa.Row[Any], now: datetime
) -> Held | Refusal | None:
    """Ask for a delivery that would be sent now; ``None`` lets it go. Both rows are locked."""
    state = DestinationState(destination.state)
    if row.replay_of is None and state is DestinationState.GONE:
        why = "the receiver answered 410 Gone before; close its circuit, or replay this to try it"
        return Refusal(AttemptError.GONE, why)
    if row.replay_of is None and state is DestinationState.DISABLED:
        why = (
            f"the destination is disabled: {destination.reason}; close its circuit, or replay this to try it"
        )
        return Refusal(AttemptError.DISABLED, why)
    if row.fifo_key is not None and await _exists(connection, row, _before_in_line(row)):
        return Held(Hold.TURN, now + LOOK_AGAIN)
    if state in (DestinationState.OPEN, DestinationState.HALF_OPEN):
        return await _try(connection, destination, row, now)
    limits = destinations.limits_of(destination)
    if limits.concurrency is not None and not await _has_room(connection, row, limits.concurrency):
        return Held(Hold.QUEUE, now + LOOK_AGAIN)
    if limits.rate is not None:
        reached = row.held_by == Hold.RATE.value and row.planned_at <= now
        take = _reached if reached else _moment
        at = await take(connection, destination.id, row.id, limits.rate, now)
        if at > now:
            return Held(Hold.RATE, at)
    return None


async def release(
    connection: AsyncConnection, destination: sa.Row[Any], now: datetime, *, most: int
) -> list[str]:
    """Let up to ``most`` deliveries ask again that wait for the circuit or for others; return their ids.

    The rows say that somebody has to be told; whoever commits does so, or else the reconciler.
    """
    state = DestinationState(destination.state)
    if state in (DestinationState.OPEN, DestinationState.HALF_OPEN):
        return []
    limit = destinations.limits_of(destination).concurrency
    mine = _of(destination.tenant, destination.url_hash)
    if limit is not None and state is DestinationState.CLOSED:
        most = min(most, limit - await _count(connection, *mine, sa.or_(_SENDING, _RELEASED)))
    released: list[str] = []
    for hold in (Hold.CIRCUIT, Hold.QUEUE):
        those = (*mine, _held(hold))
        released += await _wake(connection, those, now, most=most - len(released))
    return released


async def let_all_go(connection: AsyncConnection, destination: sa.Row[Any], now: datetime) -> list[str]:
    """Let everything ask again that waits for the destination, and not for its turn; return the ids."""
    mine = _of(destination.tenant, destination.url_hash)
    return await _wake(connection, (*mine, _WAITING, TABLE.c.held_by != Hold.TURN.value), now, most=100_000)


async def next_in_line(
    connection: AsyncConnection, tenant: str, url_hash: str, fifo_key: str, now: datetime
) -> list[str]:
    """Let the next delivery of a FIFO key ask, since the one before it is over; return its id."""
    line = (*_of(tenant, url_hash), TABLE.c.fifo_key == fifo_key)
    query = sa.select(TABLE.c.id).where(*line).order_by(*_ORDER).limit(1)
    first = (await connection.execute(query)).scalar()
    return await _wake(connection, (TABLE.c.id == first, _held(Hold.TURN)), now, most=1)


async def appoint(connection: AsyncConnection, destination: sa.Row[Any], probe_at: datetime) -> None:
    """Have one of those that wait for the circuit ask when it may be tried."""
    those = (*_of(destination.tenant, destination.url_hash), _held(Hold.CIRCUIT))
    await _wake(connection, those, probe_at, most=1, still=Hold.CIRCUIT)


async def give_back(connection: AsyncConnection, delivery_ids: Sequence[str], now: datetime) -> None:
    """Let others have the moments that a rate limit gave to deliveries which will not come."""
    slots = schema.destination_slots
    await connection.execute(
        sa.update(slots)
        .where(slots.c.delivery_id.in_(delivery_ids), slots.c.at > now)
        .values(delivery_id=sa.literal(_FREE) + slots.c.delivery_id)
    )


async def begun(connection: AsyncConnection, delivery_id: str, at: datetime) -> None:
    """Date a moment that a rate limit gave by when the request was really begun."""
    slots = schema.destination_slots
    mine = (slots.c.delivery_id == delivery_id, slots.c.at < at)
    last = sa.select(sa.func.max(slots.c.at, type_=schema.Moment)).where(*mine).scalar_subquery()
    await connection.execute(sa.update(slots).where(*mine, slots.c.at == last).values(at=at))


async def forget_moments(connection: AsyncConnection, destination: sa.Row[Any], now: datetime) -> None:
    """Take back what a rate limit has given away that is no longer so; those that wait for it queue up."""
    slots = schema.destination_slots
    await connection.execute(
        sa.delete(slots).where(slots.c.destination_id == destination.id, slots.c.at > now)
    )
    await connection.execute(
        sa.update(TABLE)
        .where(*_of(destination.tenant, destination.url_hash), _held(Hold.RATE))
        .values(held_by=Hold.QUEUE.value, planned_at=now + LOOK_AGAIN)
    )


async def _try(
    connection: AsyncConnection, destination: sa.Row[Any], row: sa.Row[Any], now: datetime
) -> Held | None:
    """Let one go that tries whether the destination is well again; the others wait."""
    opened = destination.state == DestinationState.OPEN.value
    free_at = destination.probe_at if opened else destination.probe_until
    if free_at is not None and free_at <= now:
        await destinations.change(
            connection,
            destination,
            state=DestinationState.HALF_OPEN.value,
            changed_at=now,
            probe_id=row.id,
            probe_until=now + PROBING,
        )
        return None
    if free_at is None:
        return Held(Hold.CIRCUIT, now + LOOK_AGAIN)
    appointed = await _exists(connection, row, sa.and_(_held(Hold.CIRCUIT), TABLE.c.planned_at <= free_at))
    return Held(Hold.CIRCUIT, now + LOOK_AGAIN if appointed else free_at)


async def _has_room(connection: AsyncConnection, row: sa.Row[Any], limit: int) -> bool:
    busy = sa.or_(_SENDING, _RELEASED)
    if row.held_by is not None or row.state != DeliveryState.WAITING.value:
        # It comes anew: those that were there before go first.
        busy = sa.or_(busy, sa.and_(_held(Hold.QUEUE), _earlier(row)))
    others = (*_of(row.tenant, row.url_hash), busy, TABLE.c.id != row.id)
    return await _count(connection, *others, most=limit) < limit


async def _moment(
    connection: AsyncConnection, destination_id: str, delivery_id: str, rate: RateLimit, now: datetime
) -> datetime:
    """Take the next moment at which a request keeps to the rate, and return it."""
    slots = schema.destination_slots
    mine = slots.c.destination_id == destination_id
    await connection.execute(sa.delete(slots).where(mine, slots.c.at < now - rate.per))
    free = (
        sa.select(slots)
        .where(mine, slots.c.at >= now, slots.c.delivery_id.startswith(_FREE))
        .order_by(slots.c.at)
        .limit(1)
    )
    found = (await connection.execute(free)).one_or_none()
    if found is not None:
        await connection.execute(
            sa.update(slots)
            .where(mine, slots.c.delivery_id == found.delivery_id, slots.c.at == found.at)
            .values(delivery_id=delivery_id)
        )
        return cast(datetime, found.at)
    query = sa.select(slots.c.at).where(mine).order_by(slots.c.at.desc()).offset(rate.requests - 1).limit(1)
    last_but = (await connection.execute(query)).scalar()
    at = now if last_but is None else max(now, last_but + rate.per)
    await connection.execute(
        sa.insert(slots).values(destination_id=destination_id, delivery_id=delivery_id, at=at)
    )
    return at


async def _reached(
    connection: AsyncConnection, destination_id: str, delivery_id: str, rate: RateLimit, now: datetime
) -> datetime:
    """Return when a delivery may go whose moment has come: later, if those before it began late."""
    slots = schema.destination_slots
    mine = slots.c.destination_id == destination_id
    begun_ = sa.select(slots.c.at).where(mine, slots.c.at <= now, slots.c.delivery_id != delivery_id)
    query = begun_.order_by(slots.c.at.desc()).offset(rate.requests - 1).limit(1)
    last_but = (await connection.execute(query)).scalar()
    at = now if last_but is None else max(now, last_but + rate.per)
    own = sa.select(sa.func.max(slots.c.at, type_=schema.Moment)).where(
        mine, slots.c.delivery_id == delivery_id
    )
    await connection.execute(
        sa.update(slots)
        .where(mine, slots.c.delivery_id == delivery_id, slots.c.at == own.scalar_subquery())
        .values(at=at)
    )
    return at


async def _wake(
    connection: AsyncConnection,
    those: Sequence[sa.ColumnElement[bool]],
    at: datetime,
    *,
    most: int,
    still: Hold | None = None,
) -> list[str]:
    """Have the first ``most`` of those ask at a moment; return their ids."""
    if most <= 0:
        return []
    query = sa.select(TABLE.c.id).where(*those).order_by(*_ORDER).limit(most)
    # One that is locked is asking this very moment.
    ids = list((await connection.scalars(query.with_for_update(skip_locked=True))).all())
    if ids:
        await connection.execute(
            sa.update(TABLE)
            .where(TABLE.c.id.in_(ids))
            .values(planned_at=at, held_by=still and still.value, handed_over=False)
        )
    return ids


def _before_in_line(row: sa.Row[Any]) -> sa.ColumnElement[bool]:
    """Those of the same FIFO key that go first: what is under way, and what fired earlier."""
    return sa.and_(TABLE.c.fifo_key == row.fifo_key, sa.or_(_SENDING, _earlier(row)))


def _earlier(row: sa.Row[Any]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*_ORDER) < sa.tuple_(*(sa.literal(row._mapping[one.name], one.type) for one in _ORDER))


def _held(hold: Hold) -> sa.ColumnElement[bool]:
    return sa.and_(_WAITING, TABLE.c.held_by == hold.value)


async def _count(connection: AsyncConnection, *those: sa.ColumnElement[bool], most: int = 10_000) -> int:
    found = sa.select(TABLE.c.id).where(*those).limit(most).subquery()
    return (await connection.execute(sa.select(sa.func.count()).select_from(found))).scalar() or 0


async def _exists(connection: AsyncConnection, row: sa.Row[Any], those: sa.ColumnElement[bool]) -> bool:
    query = sa.select(TABLE.c.id).where(*_of(row.tenant, row.url_hash), TABLE.c.id != row.id, those).limit(1)
    return (await connection.execute(query)).first() is not None


def _of(tenant: str, url_hash: str) -> tuple[sa.ColumnElement[bool], ...]:
    return TABLE.c.tenant == tenant, TABLE.c.url_hash == url_hash, _UNFINISHED
