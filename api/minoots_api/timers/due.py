"""When a timer is due: what was asked, checked against the clock of the gateway."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from minoots.contracts import FieldProblem, Misfire
from minoots.durations import MAX_DURATION
from minoots.errors import Failure, FailureKind

TOLERANCE: Final = timedelta(seconds=1)
"""Clocks differ and requests take time: a due time that has just passed is due at once."""


def due_at(
    fire_at: datetime | None, after: timedelta | None, now: datetime, *, past_allowed: bool
) -> datetime | None:
    """Return the due time, or ``None`` when none was asked for.

    Raises:
        Failure: invalid, when it lies in the past and that was not asked for, or beyond ten years.
    """
    if after is not None:
        return now + after
    if fire_at is None:
        return None
    if fire_at < now - TOLERANCE and not past_allowed:
        raise _refused(
            fire_at,
            f"a time that has not passed (it is {now.isoformat(timespec='seconds')})",
            'To fire at once what is overdue, send misfire: {"policy": "fire"}.',
        )
    if fire_at < now - MAX_DURATION:
        raise _refused(fire_at, "a time within ten years", "Set it to a time that is not so long ago.")
    if fire_at > now + MAX_DURATION:
        raise _refused(fire_at, "a time within ten years", "Set it again when it is nearer.")
    return fire_at


def asked_to_fire_late(misfire: Misfire | None) -> bool:
    """Tell whether the client itself asked for a timer to fire late; the default does not count."""
    return misfire is not None and "policy" in misfire.model_fields_set and misfire.policy == "fire"


def _refused(fire_at: datetime, expected: str, remedy: str) -> Failure:
    return Failure(
        FailureKind.INVALID,
        f"the due time is not possible: expected {expected}",
        remedy=remedy,
        errors=(FieldProblem(field="body.fire_at", expected=expected, got=fire_at.isoformat()),),
    )
