"""Settling the timer that awaited an escalation, or failing it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EscalationState, EventType, TimerState

from . import awaiting, deliveries, events, timers


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
    if awaiting.holds(escalation):
        return await deliveries.move_timer(connection, timer, now)
    if escalation.state not in (EscalationState.EXHAUSTED.value, EscalationState.CANCELLED.value):
        return []
    reason = "nobody acknowledged it in time"
    if escalation.state == EscalationState.CANCELLED.value:
        reason = "its escalation was cancelled"
    failed = {"state": TimerState.FAILED.value, "state_reason": reason, "settled_at": now, "updated_at": now}
    await connection.execute(sa.update(timers.TABLE).where(timers.TABLE.c.id == timer.id).values(**failed))
    return [timers.event_of(timer, EventType.TIMER_FAILED, now, reason=reason)]
