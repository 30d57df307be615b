"""Timers that have fired and whose acknowledgement is awaited."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EscalationState, EventType

from . import events, schema

_ESCALATIONS = schema.escalations


async def is_met(connection: AsyncConnection, timer: sa.Row[Any]) -> bool:
    """Tell whether a timer that has fired needs no acknowledgement, or has it. Its escalation is locked."""
    if timer.escalation_id is None:
        return True
    query = sa.select(_ESCALATIONS).where(_ESCALATIONS.c.id == timer.escalation_id)
    return holds((await connection.execute(query)).one())


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


def holds(escalation: sa.Row[Any]) -> bool:
    """Tell whether an escalation stands so that its timer may settle."""
    if escalation.state == EscalationState.RESOLVED.value:
        return True
    for_good = escalation.terms["resolve_within"] is None
    return for_good and escalation.state == EscalationState.ACKNOWLEDGED.value
