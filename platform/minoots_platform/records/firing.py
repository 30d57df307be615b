"""Firing a timer: read what is to be sent, and claim it at the moment of sending."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Action, EventType, Misfire, Occurrence, RetryPolicy, TimerState
from minoots.errors import Failure

from . import commands, deliveries, escalations, events, overlaps, timers
from .attempts import Claim

_ACTIONS: TypeAdapter[tuple[Action, ...]] = TypeAdapter(tuple[Action, ...])


@dataclass(frozen=True)
class Spec:
    """What a firing timer needs from its row. Payload and headers stay in the process that sends them."""

    tenant: str
    timer_id: str
    name: str
    generation: int
    state: TimerState
    fire_at: datetime
    fired_at: datetime | None
    payload: Any
    actions: tuple[Action, ...]
    retry: RetryPolicy
    misfire: Misfire
    labels: dict[str, str]
    metadata: dict[str, Any]
    traceparent: str | None
    occurrence: Occurrence | None
    parent_id: str | None
    part: str | None
    linked: bool = False
    """Whether it carries a link: it is a notice, or a timer that anybody may acknowledge."""

    @property
    def owners(self) -> dict[str, str | None]:
        """Return who waits for it to end, as `HandOver.after_timer` takes it."""
        return {
            "schedule_id": self.occurrence.schedule_id if self.occurrence else None,
            "parent_id": self.parent_id,
        }


@dataclass(frozen=True)
class Claimed:
    """The timer is ours: send these."""

    fired_at: datetime
    claims: tuple[Claim, ...]
    escalation_id: str | None = None
    """The escalation that sees to its acknowledgement, if one is required."""


@dataclass(frozen=True)
class Skipped:
    """It came too late by its misfire or catch-up policy, or another was in the way; it is cancelled."""


@dataclass(frozen=True)
class Overtaken:
    """A command came first, or the timer is finished."""

    state: TimerState
    generation: int
    fire_at: datetime


async def spec(connection: AsyncConnection, tenant: str, timer_id: str) -> Spec:
    """Return what is to be sent.

    Raises:
        Failure: not_found.
    """
    row = await timers.row_of(connection, tenant, timer_id)
    return Spec(
        tenant=row.tenant,
        timer_id=row.id,
        name=row.name,
        generation=row.generation,
        state=TimerState(row.state),
        fire_at=row.fire_at,
        fired_at=row.fired_at,
        payload=row.payload,
        actions=_ACTIONS.validate_python(row.actions),
        retry=RetryPolicy.model_validate(row.retry),
        misfire=Misfire.model_validate(row.misfire),
        labels=row.labels,
        metadata=row.meta,
        traceparent=row.traceparent,
        occurrence=timers.occurrence_of(row),
        parent_id=row.parent_id,
        part=row.part,
        linked=(row.parent_id or "").startswith("esc_") or escalations.anybody_may(row),
    )


async def claim(
    connection: AsyncConnection, wanted: Spec, *, execution: int, now: datetime
) -> Claimed | Skipped | Overtaken:
    """Take the timer for sending, if its generation still holds and nobody has.

    This transaction is the moment of sending: a command that commits before it wins, one after it is too
    late. An execution that follows a died one takes over what that one had claimed and not recorded.
    """
    await overlaps.lock(connection, wanted.occurrence.schedule_id if wanted.occurrence else None)
    row = await timers.row_of(connection, wanted.tenant, wanted.timer_id, for_update=True)
    state = TimerState(row.state)
    # An execution that was only frozen must not take the claim back from the one that took over: nobody
    # listens to its report any more, and the retries it plans would be nobody's.
    frozen = row.claim is not None and execution < row.claim
    if state is TimerState.FIRED and row.generation == wanted.generation and not frozen:
        claims = await deliveries.reclaim(connection, row.id, execution=execution)
        await connection.execute(
            sa.update(timers.TABLE).where(timers.TABLE.c.id == row.id).values(claim=execution)
        )
        return Claimed(row.fired_at, tuple(claims), row.escalation_id)
    if row.generation != wanted.generation or state not in (TimerState.SCHEDULED, TimerState.ARMED):
        return Overtaken(state, row.generation, row.fire_at)
    late = now - row.fire_at
    if wanted.misfire.policy == "skip" and late > wanted.misfire.grace:
        return await _skip(
            connection, row, f"{late.total_seconds():.1f} s late, more than its grace", "misfire", now
        )
    if row.schedule_id is not None:
        verdict = await overlaps.judge(connection, row, now)
        if verdict.skip is not None:
            return await _skip(connection, row, verdict.skip, "schedule", now)
        if verdict.hold is not None:
            held = await overlaps.hold(connection, row, verdict.hold, now)
            return Overtaken(TimerState.PAUSED, held.generation, held.fire_at)
        for other in verdict.cancel:
            await _call_off(connection, row.tenant, other, now)
    fired_now: dict[str, Any] = {"state": TimerState.FIRED.value, "fired_at": now, "claim": execution}
    told: list[events.NewEvent] = []
    if row.acknowledge is not None:
        fired_now["escalation_id"], awaited = await escalations.open_for(connection, row, now=now)
        told.append(awaited)
    await _move(connection, row, fired_now, now)
    opened = await deliveries.open_for(connection, row, execution=execution, now=now)
    lateness_ms = round(late.total_seconds() * 1000, 3)
    fired = timers.event_of(row, EventType.TIMER_FIRED, now, lateness_ms=lateness_ms)
    await events.append(connection, row.tenant, [fired, *told, *opened.told])
    return Claimed(now, opened.claims, fired_now.get("escalation_id"))


async def close(connection: AsyncConnection, tenant: str, timer_id: str, *, by: str, now: datetime) -> None:
    """Record that the workflow was cancelled in Temporal; a timer that has fired stays as it is."""
    await overlaps.lock_of_timers(connection, [timer_id])
    row = await timers.row_of(connection, tenant, timer_id, for_update=True)
    if not TimerState(row.state).waiting:
        return
    reason = f"its workflow was cancelled in {by}"
    changed = {
        "state": TimerState.CANCELLED.value,
        "state_reason": reason,
        "closed_by": by,
        "settled_at": now,
        "generation": row.generation + 1,
        "armed_generation": row.generation + 1,
    }
    await _move(connection, row, changed, now)
    cancelled = timers.event_of(row, EventType.TIMER_CANCELLED, now, by=by, reason=reason)
    freed = await overlaps.release(connection, row.schedule_id, now)
    await events.append(connection, tenant, [cancelled, *freed])


async def _skip(connection: AsyncConnection, row: sa.Row[Any], why: str, by: str, now: datetime) -> Skipped:
    reason = f"skipped: {why}"
    closed = {
        "state": TimerState.CANCELLED.value,
        "state_reason": reason,
        "closed_by": by,
        "settled_at": now,
    }
    await _move(connection, row, closed, now)
    late_ms = round((now - row.fire_at).total_seconds() * 1000, 3)
    skipped = timers.event_of(row, EventType.TIMER_SKIPPED, now, reason=reason, late_by_ms=late_ms)
    freed = await overlaps.release(connection, row.schedule_id, now)
    await events.append(connection, row.tenant, [skipped, *freed])
    return Skipped()


async def _call_off(connection: AsyncConnection, tenant: str, timer_id: str, now: datetime) -> None:
    """Stop the retries of an earlier occurrence. What is being sent this moment goes on by itself."""
    with suppress(Failure):
        await commands.change(
            connection,
            tenant,
            timer_id,
            commands.CancelIt("the next occurrence of its schedule has come"),
            now=now,
            actor="schedule",
            if_generation=None,
        )


async def _move(connection: AsyncConnection, row: sa.Row[Any], values: dict[str, Any], now: datetime) -> None:
    await connection.execute(
        sa.update(timers.TABLE).where(timers.TABLE.c.id == row.id).values(updated_at=now, **values)
    )
