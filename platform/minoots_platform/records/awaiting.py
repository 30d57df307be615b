"""Timers that have fired and whose acknowledgement is awaited."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EscalationState, EventType, TimerState

from . import deliveries, events, schema, timers

_ESCALATIONS = schema.escalations


async def is_met(connection: AsyncConnection, timer: sa.Row[Any]) -> bool:
    """Tell whether a timer that has fired needs no acknowledgement, or has it. Its escalation is locked."""
    if timer.escalation_id is None:
        return True
    query = sa.select(_ESCALATIONS).where(_ESCALATIONS.c.id == timer.escalation_id)
    return _holds((await connection.execute(query)).one())


async def settle(
    connection: AsyncConnection, escalation: sa.Row[Any], now: datetime
) -> list[events.NewEvent]:
    """Settle the timer that awaited this escalation, or fail it; return the events.

    One whose actions are still being delivered settles when they are.
    """
    if escalation.timer_id is None:
        return []
    query = sa.select(timers.TABLE).where(timers.TABLE.c.id == escalation.timer_id)
    timer = (await connection.execute(query.with_for_update(key_share=True))).one()
    if timer.state != TimerState.FIRED.value:
        return []
    if _holds(escalation):
        return await deliveries.move_timer(connection, timer, now)
    if escalation.state not in (EscalationState.EXHAUSTED.value, EscalationState.CANCELLED.value):
        return []
    reason = "nobody acknowledged it in time"
    if escalation.state == EscalationState.CANCELLED.value:
        reason = "its escalation was cancelled"
    failed = {"state": TimerState.FAILED.value, "state_reason": reason, "settled_at": now, "updated_at": now}
    await connection.execute(sa.update(timers.TABLE).where(timers.TABLE.c.id == timer.id).values(**failed))
    return [timers.event_of(timer, EventType.TIMER_FAILED, now, reason=reason)]


async def give_up(
    connection: AsyncConnection, escalation_id: str, now: datetime, actor: str
) -> list[events.NewEvent]:
    """End the escalation of a timer that is cancelled; return the events. It is locked already.

    Notices that wait are called off by the next look at it.
    """
    query = (
        sa.update(_ESCALATIONS)
        .where(_ESCALATIONS.c.id == escalation_id, _ESCALATIONS.c.ended_at.is_(None))
        .values(
            state=EscalationState.CANCELLED.value,
            state_reason="its timer was cancelled",
            generation=_ESCALATIONS.c.generation + 1,
            next_at=None,
            ended_at=now,
            updated_at=now,
        )
        .returning(_ESCALATIONS)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return []
    data = {"name": row.name, "trigger": row.trigger, "by": actor, "reason": row.state_reason}
    return [events.NewEvent(EventType.ESCALATION_CANCELLED, row.id, now, data, row.labels, row.traceparent)]


def _holds(escalation: sa.Row[Any]) -> bool:
    if escalation.state == EscalationState.RESOLVED.value:
        return True
    for_good = escalation.terms["resolve_within"] is None
    return for_good and escalation.state == EscalationState.ACKNOWLEDGED.value
