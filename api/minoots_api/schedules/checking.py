"""Refusing a schedule that cannot be, in the words of the request."""

from __future__ import annotations

import asyncio
from datetime import datetime

from minoots.contracts import FieldProblem, ScheduleSpec
from minoots.errors import Failure, FailureKind
from minoots_platform.recurrence import RecurrenceFault, check


async def require_possible(spec: ScheduleSpec, now: datetime) -> None:
    """Refuse rules that cannot be read and rules that give no time to come.

    Raises:
        Failure: invalid, naming the field.
    """
    try:
        # In a thread: a rule that never matches takes a tenth of a second to find out.
        await asyncio.to_thread(check, spec, now)
    except RecurrenceFault as fault:
        field = f"body.schedule.{fault.field}".rstrip(".")
        raise Failure(
            FailureKind.INVALID,
            f"the schedule is not possible: expected {fault.expected}",
            remedy="POST /v1/schedules/preview shows the times that a schedule gives.",
            errors=(FieldProblem(field=field, expected=fault.expected, got=fault.got),),
        ) from fault
