"""Escalation ladders: who is told, and when.

Owns the order of steps and the time between them. Pure: the caller passes the time in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import available_timezones

from minoots.contracts.escalations import Hours, Ladder, Rung
from minoots_platform.expressions import DYN, TEXTS, ExpressionFault, Expressions

from .hours import covers

EXPRESSIONS: Final = Expressions(payload=DYN, labels=TEXTS, round=DYN)


@dataclass(frozen=True)
class Step:
    """One time that a rung's targets are told."""

    round: int
    """From 1."""
    rung: int
    """From 1."""
    repeat: int
    """0 for the first time."""
    after: timedelta
    """Since the step before it, or since the start."""


def steps(ladder: Ladder) -> tuple[Step, ...]:
    """Return every step of a ladder in order, without asking for conditions."""
    found: list[Step] = []
    for number in range(1, ladder.rounds + 1):
        for index, rung in enumerate(ladder.rungs, 1):
            after = rung.after
            if index == 1 and number > 1:
                after += ladder.again_after
            found.append(Step(number, index, 0, after))
            found += [Step(number, index, again, rung.every) for again in range(1, rung.repeat + 1)]
    return tuple(found)


def applies(rung: Rung, data: Mapping[str, Any], at: datetime) -> bool:
    """Tell whether a rung's targets are to be told at ``at``.

    A condition that has no value is true: somebody must not stay uninformed for a fault in a rule.
    """
    if rung.hours is not None and not covers(rung.hours, at):
        return False
    if rung.when is None:
        return True
    try:
        return EXPRESSIONS.holds(rung.when, data)
    except ExpressionFault:
        return True


def check_ladder(ladder: Ladder) -> tuple[str, str, str] | None:
    """Return the first fault that the wire model cannot know: field, what was expected, what came."""
    for index, rung in enumerate(ladder.rungs):
        if rung.hours is not None and (fault := _zone_fault(rung.hours)):
            return f"rungs.{index}.hours.zone", fault, repr(rung.hours.zone)
        if rung.when is not None:
            try:
                EXPRESSIONS.check(rung.when, condition=True)
            except ExpressionFault as error:
                return (
                    f"rungs.{index}.when",
                    "a CEL expression that is true or false",
                    f"{rung.when[:100]!r}: {error}",
                )
    return None


def _zone_fault(hours: Hours) -> str | None:
    return None if hours.zone in available_timezones() else "an IANA time zone, such as Europe/Berlin"
