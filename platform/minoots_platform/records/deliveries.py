"""Deliveries: claim an attempt, record what came of it, and what it means for the timer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AttemptError, DeliveryState, EventType, TimerState
from minoots_platform.connectors import installed
from minoots_platform.ids import new_id

from . import admission, attempts, awaiting, circuits, destinations, events, overlaps, schema, timers
from .attempts import Claim, Outcome, Refusal, Standing

TABLE = schema.deliveries
PLANNED: Final = frozenset({DeliveryState.RETRYING, DeliveryState.WAITING})
"""States in which the next attempt has a time."""


@dataclass(frozen=True)
class Opened:
    """The deliveries of a timer that fires."""

    claims: tuple[Claim, ...]
    """To be sent now."""
    told: tuple[events.NewEvent, ...]
    """To append: which of them wait."""


@dataclass(frozen=True)
class Recorded:
    """What follows from attempts that were recorded."""

    standings: Mapping[str, Standing]
    """Where each delivery stands."""
    released: Sequence[str] = field(default_factory=tuple)
    """Others that may ask now; whoever commits tells them."""


async def open_for(
    connection: AsyncConnection, timer: sa.Row[Any], *, execution: int, now: datetime
) -> Opened:
    """Make one delivery for every action of a timer that fires; claim for ``execution`` what may go now."""
    rows = [_new(timer, position, action, execution, now) for position, action in enumerate(timer.actions)]
    for row in rows:
        if row["fifo_key"] is not None and row["url_hash"] is not None:
            await destinations.ensure(connection, timer.tenant, row["url"], now)
    hashes = {row["url_hash"] for row in rows} - {None}
    governed = await destinations.lock(connection, timer.tenant, hashes) if hashes else {}
    for row in rows:
        if row["url_hash"] in governed:
            row |= {"state": DeliveryState.WAITING.value, "held_by": _ASKING}
    made = await connection.execute(sa.insert(TABLE).returning(TABLE, sort_by_parameter_order=True), rows)
    claims: list[Claim] = []
    told: list[events.NewEvent] = []
    for row in made.all():
        if row.url_hash in governed:
            # Read once more: the delivery before it may be the one that tries.
            governed |= await destinations.lock(connection, timer.tenant, [row.url_hash])
        claim = await _admit(connection, row, execution, now, governed.get(row.url_hash))
        if isinstance(claim, Claim):
            claims.append(claim)
        else:
            told.append(_held_back(timer, row, claim, now))
    return Opened(tuple(claims), tuple(told))


_TELLING: Final = (AttemptError.REFUSED, AttemptError.SECRET, AttemptError.GONE, AttemptError.DISABLED)
"""Errors that say all there is to say; of others the attempts tell."""

_ASKING: Final = "asking"
"""Made in this transaction; what it waits for, if it does, is found out before the commit."""


def _new(
    timer: sa.Row[Any], position: int, action: Mapping[str, Any], execution: int, now: datetime
) -> dict[str, Any]:
    url = destination_of(action)
    return {
        "id": new_id("dlv", now),
        "tenant": timer.tenant,
        "timer_id": timer.id,
        "action": position,
        "url": url,
        "url_hash": destinations.hash_of(url),
        "fifo_key": action.get("fifo_key"),
        "held_by": None,
        # The same for every attempt and every replay: the receiver's idempotency key.
        "webhook_id": f"{timer.id}_{timer.generation}_{position}",
        "state": DeliveryState.SENDING.value,
        "planned_at": timer.fire_at,
        "claim": execution,
        "created_at": now,
        # The timer's own workflow sees to what fails.
        "handed_over": True,
        "traceparent": timer.traceparent,
    }


async def _admit(
    connection: AsyncConnection,
    row: sa.Row[Any],
    execution: int,
    now: datetime,
    destination: sa.Row[Any] | None,
) -> Claim | admission.Held:
    """Claim a delivery for sending, or have it wait; both rows are locked."""
    verdict = None
    if destination is not None:
        verdict = await admission.ask(connection, destination, row, now)
    if isinstance(verdict, admission.Held):
        held = {
            "state": DeliveryState.WAITING.value,
            "held_by": verdict.by.value,
            "planned_at": verdict.until,
        }
        await connection.execute(sa.update(TABLE).where(TABLE.c.id == row.id).values(**held))
        return verdict
    if row.state != DeliveryState.SENDING.value:
        going = {"state": DeliveryState.SENDING.value, "held_by": None, "claim": execution}
        await connection.execute(sa.update(TABLE).where(TABLE.c.id == row.id).values(**going))
    claim = _claim(row, execution)
    return replace(claim, refusal=verdict) if isinstance(verdict, Refusal) else claim


def _held_back(timer: sa.Row[Any], row: sa.Row[Any], held: admission.Held, now: datetime) -> events.NewEvent:
    return timers.event_of(
        timer,
        EventType.DELIVERY_HELD,
        now,
        delivery_id=row.id,
        action=row.action,
        url=row.url,
        held_by=held.by.value,
        # Whoever waits for others goes when they are done.
        until=held.until.isoformat() if held.by is admission.Hold.RATE else None,
    )


def destination_of(action: Mapping[str, Any]) -> str:
    """Return where an action goes, as attempts and dead letters show it."""
    kind = action.get("kind", "webhook")
    spec = installed().get(kind)
    return str(kind) if spec is None else spec.destination(action.get("config", action))[:2048]


async def reclaim(connection: AsyncConnection, timer_id: str, *, execution: int) -> list[Claim]:
    """Take over the attempts that a died execution left ``sending``."""
    taken = await connection.execute(
        sa.update(TABLE)
        .where(
            TABLE.c.timer_id == timer_id,
            TABLE.c.state == DeliveryState.SENDING.value,
            TABLE.c.replay_of.is_(None),
            TABLE.c.attempts == 0,
        )
        .values(claim=execution)
        .returning(TABLE)
    )
    return sorted((_claim(row) for row in taken), key=lambda claim: claim.action)


async def claim_attempt(
    connection: AsyncConnection,
    tenant: str,
    delivery_id: str,
    *,
    planned_at: datetime,
    execution: int,
    now: datetime,
) -> Claim | Standing:
    """Claim the attempt planned at ``planned_at``, or say where the delivery stands instead.

    A delivery whose plan has moved on was attempted already: the answer of that attempt got lost, not the
    attempt.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == delivery_id).with_for_update()
    row = (await connection.execute(query)).one()
    state = DeliveryState(row.state)
    # An execution that was only frozen must not take the claim back from the one that took over.
    frozen = state is DeliveryState.SENDING and row.claim is not None and execution < row.claim
    over = state not in (*PLANNED, DeliveryState.SENDING)
    if over or frozen or row.planned_at > planned_at:
        return Standing(state, row.planned_at)
    if state is DeliveryState.SENDING:
        await connection.execute(sa.update(TABLE).where(TABLE.c.id == row.id).values(claim=execution))
        return _claim(row, execution)
    if row.url_hash is not None and row.fifo_key is not None:
        await destinations.ensure(connection, tenant, row.url, now)
    governed = await destinations.lock(connection, tenant, [row.url_hash]) if row.url_hash else {}
    claim = await _admit(connection, row, execution, now, governed.get(row.url_hash))
    if isinstance(claim, Claim):
        return claim
    if state is not DeliveryState.WAITING:
        timer = await timers.row_of(connection, tenant, row.timer_id)
        await events.append(connection, tenant, [_held_back(timer, row, claim, now)])
    return Standing(DeliveryState.WAITING, claim.until)


async def record(
    connection: AsyncConnection, tenant: str, outcomes: Sequence[Outcome], now: datetime
) -> Recorded:
    """Record attempts, move their deliveries, timers and destinations, append the events.

    An outcome whose claim was taken over is dropped: the execution that took over records its own.
    """
    told: list[events.NewEvent] = []
    standings: dict[str, Standing] = {}
    kept: list[Outcome] = []
    over: list[sa.Row[Any]] = []
    timer_ids = {outcome.claim.timer_id for outcome in outcomes}
    # The schedule first, then the timer, then its deliveries: the order in which a cancel locks them too.
    await overlaps.lock_of_timers(connection, timer_ids)
    timer_rows = {
        timer_id: await timers.row_of(connection, tenant, timer_id, for_update=True)
        for timer_id in sorted(timer_ids)
    }
    for outcome in outcomes:
        claim = outcome.claim
        moved = (
            await connection.execute(
                sa.update(TABLE)
                .where(
                    TABLE.c.id == claim.delivery_id,
                    TABLE.c.state == DeliveryState.SENDING.value,
                    TABLE.c.claim == claim.execution,
                    TABLE.c.attempts == claim.number - 1,
                )
                .values(
                    state=outcome.state.value,
                    # What was not even tried is no attempt.
                    attempts=claim.number if claim.refusal is None else claim.number - 1,
                    planned_at=outcome.next_at or claim.planned_at,
                    error=outcome.error.value if outcome.error else None,
                    detail=outcome.detail,
                    closed_at=None if outcome.state is DeliveryState.RETRYING else now,
                )
                .returning(TABLE)
            )
        ).one_or_none()
        if moved is None:
            standings[claim.delivery_id] = await _standing(connection, claim.delivery_id)
            continue
        standings[claim.delivery_id] = Standing(outcome.state, moved.planned_at)
        if outcome.claim.refusal is None:
            await attempts.keep(connection, tenant, outcome)
        told.append(_tell(timer_rows[claim.timer_id], outcome, now))
        kept.append(outcome)
        if outcome.state is not DeliveryState.RETRYING:
            over.append(moved)
    learnt = await circuits.observe(connection, tenant, kept, now)
    for row in over:
        learnt.released += await _next_in_line(connection, row, now)
    told += learnt.told
    for timer in timer_rows.values():
        told += await move_timer(connection, timer, now)
    if told:
        await events.append(connection, tenant, told)
    return Recorded(standings, learnt.released)


async def close(
    connection: AsyncConnection, tenant: str, delivery_id: str, *, by: str, now: datetime
) -> None:
    """Give a delivery up on request; one that is finished stays as it is."""
    row = (
        await connection.execute(sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == delivery_id))
    ).one_or_none()
    if row is None:
        return
    await overlaps.lock_of_timers(connection, [row.timer_id])
    timer = await timers.row_of(connection, tenant, row.timer_id, for_update=True)
    closed = (
        await connection.execute(
            sa.update(TABLE)
            .where(
                TABLE.c.id == delivery_id,
                TABLE.c.state.in_([DeliveryState.SENDING.value, *(state.value for state in PLANNED)]),
            )
            .values(state=DeliveryState.CANCELLED.value, closed_at=now, detail=f"cancelled by {by}")
            .returning(TABLE)
        )
    ).one_or_none()
    if closed is not None:
        await make_way(connection, [closed], now)
        told = await move_timer(connection, timer, now)
        if told:
            await events.append(connection, tenant, told)


async def of_timer(connection: AsyncConnection, timer_id: str) -> Sequence[sa.Row[Any]]:
    """Return the rows of a timer's deliveries, replays included, in the order of making."""
    query = sa.select(TABLE).where(TABLE.c.timer_id == timer_id).order_by(TABLE.c.id)
    return (await connection.execute(query)).all()


async def get(connection: AsyncConnection, tenant: str, delivery_id: str) -> sa.Row[Any]:
    """Return the row of a delivery that is known to exist."""
    return (
        await connection.execute(sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == delivery_id))
    ).one()


async def make_way(connection: AsyncConnection, over: Sequence[sa.Row[Any]], now: datetime) -> None:
    """Let others ask that waited for deliveries which were cancelled; the reconciler tells them."""
    hashes = {row.url_hash for row in over} - {None}
    if not hashes:
        return
    governed = await destinations.lock(connection, over[0].tenant, hashes)
    if governed:
        await admission.give_back(connection, [row.id for row in over], now)
    for row in over:
        if row.url_hash in governed:
            await admission.release(connection, governed[row.url_hash], now, most=1)
            await _next_in_line(connection, row, now)


async def _next_in_line(connection: AsyncConnection, row: sa.Row[Any], now: datetime) -> list[str]:
    if row.fifo_key is None or row.url_hash is None:
        return []
    return await admission.next_in_line(connection, row.tenant, row.url_hash, row.fifo_key, now)


def _claim(row: sa.Row[Any], execution: int | None = None) -> Claim:
    return Claim(
        delivery_id=row.id,
        timer_id=row.timer_id,
        action=row.action,
        webhook_id=row.webhook_id,
        url=row.url,
        number=row.attempts + 1,
        planned_at=row.planned_at,
        execution=row.claim if execution is None else execution,
        replay_of=row.replay_of,
    )


async def _standing(connection: AsyncConnection, delivery_id: str) -> Standing:
    row = (await connection.execute(sa.select(TABLE).where(TABLE.c.id == delivery_id))).one()
    return Standing(DeliveryState(row.state), row.planned_at)


def _tell(timer: sa.Row[Any], outcome: Outcome, now: datetime) -> events.NewEvent:
    claim = outcome.claim
    kind = {
        DeliveryState.SUCCEEDED: EventType.DELIVERY_SUCCEEDED,
        DeliveryState.RETRYING: EventType.DELIVERY_RETRIED,
        DeliveryState.DEAD: EventType.DELIVERY_DIED,
    }[outcome.state]
    return timers.event_of(
        timer,
        kind,
        now,
        delivery_id=claim.delivery_id,
        action=claim.action,
        attempt=claim.number if claim.refusal is None else claim.number - 1,
        status=outcome.status,
        error=outcome.error.value if outcome.error else None,
        detail=outcome.detail,
        next_attempt_at=outcome.next_at.isoformat() if outcome.next_at else None,
        replay_of=claim.replay_of,
    )


async def move_timer(connection: AsyncConnection, timer: sa.Row[Any], now: datetime) -> list[events.NewEvent]:
    """Settle or fail a timer whose deliveries are all over; return the events to append.

    One whose acknowledgement is awaited stays as it is until that came.
    """
    if timer.state not in (TimerState.FIRED.value, TimerState.FAILED.value):
        return []
    rows = await of_timer(connection, timer.id)
    succeeded = {row.action for row in rows if row.state == DeliveryState.SUCCEEDED.value}
    under_way = any(row.state in (DeliveryState.SENDING, *PLANNED) for row in rows)
    if succeeded == set(range(len(timer.actions))):
        if not await awaiting.is_met(connection, timer):
            return []
        state, kind, reason = TimerState.SETTLED, EventType.TIMER_SETTLED, None
    elif under_way or timer.state == TimerState.FAILED.value:
        return []
    else:
        lost = sorted({row.action for row in rows} - succeeded)
        reason = f"could not deliver action{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}"
        why = next((row.detail for row in rows if row.action in lost and row.error in _TELLING), None)
        reason += f": {why}" if why else ""
        state, kind = TimerState.FAILED, EventType.TIMER_FAILED
    await connection.execute(
        sa.update(timers.TABLE)
        .where(timers.TABLE.c.id == timer.id)
        .values(state=state.value, state_reason=reason, settled_at=now, updated_at=now)
    )
    ended = timers.event_of(timer, kind, now, reason=reason)
    return [ended, *await overlaps.release(connection, timer.schedule_id, now)]
