"""Deliveries and their attempts: claim one, record what came of it, and what it means for the timer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Attempt, AttemptError, DeliveryState, EventType, TimerState
from minoots_platform.connectors import installed
from minoots_platform.ids import new_id

from . import awaiting, destinations, events, overlaps, schema, timers

TABLE = schema.deliveries


@dataclass(frozen=True)
class Claim:
    """The right to make one attempt. It ends when another execution claims the same delivery."""

    delivery_id: str
    timer_id: str
    action: int
    webhook_id: str
    url: str
    number: int
    """Of the attempt, from 1."""
    planned_at: datetime
    execution: int
    replay_of: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt."""

    claim: Claim
    started_at: datetime
    finished_at: datetime
    status: int | None
    error: AttemptError | None
    detail: str | None
    response: str | None
    next_at: datetime | None
    """When the next attempt is planned; ``None`` after a success or to give up."""

    @property
    def state(self) -> DeliveryState:
        """Where the delivery stands after it."""
        if self.error is None:
            return DeliveryState.SUCCEEDED
        return DeliveryState.DEAD if self.next_at is None else DeliveryState.RETRYING


@dataclass(frozen=True)
class Standing:
    """Where a delivery stands that could not be claimed."""

    state: DeliveryState
    planned_at: datetime


async def open_for(
    connection: AsyncConnection, timer: sa.Row[Any], *, execution: int, now: datetime
) -> list[Claim]:
    """Make one delivery for every action of a timer that fires, claimed by ``execution``."""
    rows = [
        {
            "id": new_id("dlv", now),
            "tenant": timer.tenant,
            "timer_id": timer.id,
            "action": position,
            "url": destination_of(action),
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
        for position, action in enumerate(timer.actions)
    ]
    made = await connection.execute(sa.insert(TABLE).returning(TABLE, sort_by_parameter_order=True), rows)
    return [_claim(row) for row in made]


def destination_of(action: Mapping[str, Any]) -> str:
    """Return where an action goes, as attempts and dead letters show it."""
    kind = action.get("kind", "webhook")
    if kind == "webhook":
        return str(action["url"])
    if kind == "agent":
        return f"agent:{action['agent']}"
    spec = installed().get(kind)
    return str(kind) if spec is None else spec.destination(action["config"])[:2048]


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
    connection: AsyncConnection, tenant: str, delivery_id: str, *, planned_at: datetime, execution: int
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
    over = state not in (DeliveryState.RETRYING, DeliveryState.SENDING)
    if over or frozen or row.planned_at > planned_at:
        return Standing(state, row.planned_at)
    await connection.execute(
        sa.update(TABLE)
        .where(TABLE.c.id == delivery_id)
        .values(state=DeliveryState.SENDING.value, claim=execution)
    )
    return _claim(row, execution)


async def record(
    connection: AsyncConnection, tenant: str, outcomes: Sequence[Outcome], now: datetime
) -> dict[str, Standing]:
    """Record attempts, move their deliveries and their timer, append the events; return where each stands.

    An outcome whose claim was taken over is dropped: the execution that took over records its own.
    """
    told: list[events.NewEvent] = []
    standings: dict[str, Standing] = {}
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
                    attempts=claim.number,
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
        await _keep_attempt(connection, tenant, outcome)
        told += await _tell(connection, tenant, timer_rows[claim.timer_id], outcome, now)
    for timer in timer_rows.values():
        told += await move_timer(connection, timer, now)
    if told:
        await events.append(connection, tenant, told)
    return standings


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
                TABLE.c.state.in_([DeliveryState.RETRYING.value, DeliveryState.SENDING.value]),
            )
            .values(state=DeliveryState.CANCELLED.value, closed_at=now, detail=f"cancelled by {by}")
            .returning(TABLE.c.id)
        )
    ).one_or_none()
    if closed is not None:
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


async def attempts_of(connection: AsyncConnection, tenant: str, timer_id: str) -> tuple[Attempt, ...]:
    """Return every attempt for a timer, in the order they were made.

    Raises:
        Failure: not_found.
    """
    await timers.row_of(connection, tenant, timer_id)
    table = schema.attempts
    query = (
        sa.select(table)
        .where(table.c.timer_id == timer_id)
        .order_by(table.c.started_at, table.c.delivery_id, table.c.number)
    )
    return tuple(
        Attempt(
            **{name: value for name, value in row._mapping.items() if name != "tenant"},
            latency_ms=round((row.finished_at - row.started_at).total_seconds() * 1000, 3),
        )
        for row in await connection.execute(query)
    )


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


async def _keep_attempt(connection: AsyncConnection, tenant: str, outcome: Outcome) -> None:
    claim = outcome.claim
    await connection.execute(
        sa.insert(schema.attempts).values(
            delivery_id=claim.delivery_id,
            number=claim.number,
            tenant=tenant,
            timer_id=claim.timer_id,
            action=claim.action,
            planned_at=claim.planned_at,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            status=outcome.status,
            succeeded=outcome.error is None,
            error=outcome.error.value if outcome.error else None,
            detail=outcome.detail,
            response=outcome.response,
            next_attempt_at=outcome.next_at,
        )
    )


async def _tell(
    connection: AsyncConnection, tenant: str, timer: sa.Row[Any], outcome: Outcome, now: datetime
) -> list[events.NewEvent]:
    claim = outcome.claim
    kind = {
        DeliveryState.SUCCEEDED: EventType.DELIVERY_SUCCEEDED,
        DeliveryState.RETRYING: EventType.DELIVERY_RETRIED,
        DeliveryState.DEAD: EventType.DELIVERY_DIED,
    }[outcome.state]
    told = [
        timers.event_of(
            timer,
            kind,
            now,
            delivery_id=claim.delivery_id,
            action=claim.action,
            attempt=claim.number,
            status=outcome.status,
            error=outcome.error.value if outcome.error else None,
            detail=outcome.detail,
            next_attempt_at=outcome.next_at.isoformat() if outcome.next_at else None,
            replay_of=claim.replay_of,
        )
    ]
    if outcome.error is AttemptError.GONE and outcome.status == 410:
        told += await destinations.mark_gone(connection, tenant, claim.url, status=410, now=now)
    elif outcome.error is None and claim.replay_of is not None:
        told += await destinations.reopen_after_success(connection, tenant, claim.url, now)
    return told


async def move_timer(connection: AsyncConnection, timer: sa.Row[Any], now: datetime) -> list[events.NewEvent]:
    """Settle or fail a timer whose deliveries are all over; return the events to append.

    One whose acknowledgement is awaited stays as it is until that came.
    """
    if timer.state not in (TimerState.FIRED.value, TimerState.FAILED.value):
        return []
    rows = await of_timer(connection, timer.id)
    succeeded = {row.action for row in rows if row.state == DeliveryState.SUCCEEDED.value}
    under_way = any(row.state in (DeliveryState.SENDING.value, DeliveryState.RETRYING.value) for row in rows)
    if succeeded == set(range(len(timer.actions))):
        if not await awaiting.is_met(connection, timer):
            return []
        state, kind, reason = TimerState.SETTLED, EventType.TIMER_SETTLED, None
    elif under_way or timer.state == TimerState.FAILED.value:
        return []
    else:
        lost = sorted({row.action for row in rows} - succeeded)
        reason = f"could not deliver action{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}"
        state, kind = TimerState.FAILED, EventType.TIMER_FAILED
    await connection.execute(
        sa.update(timers.TABLE)
        .where(timers.TABLE.c.id == timer.id)
        .values(state=state.value, state_reason=reason, settled_at=now, updated_at=now)
    )
    ended = timers.event_of(timer, kind, now, reason=reason)
    return [ended, *await overlaps.release(connection, timer.schedule_id, now)]
