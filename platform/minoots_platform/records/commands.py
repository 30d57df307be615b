"""Commands on a timer: reschedule, snooze, pause, resume, fire now, cancel.

Each is decided on the locked row: it holds if the timer has not fired yet, and is refused with the reason
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import DeliveryState, EventType, Timer, TimerState
from minoots.errors import Failure, FailureKind

from . import awaiting, deliveries, events, overlaps, schema, timers
from .generations import require_generation


class Unset(Enum):
    """Tells "leave it" from a payload of ``null``."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True)
class Reschedule:
    """A new due time, payload or labels; what is absent stays."""

    fire_at: datetime | None = None
    payload: Any | Unset = UNSET
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class SnoozeBy:
    """Fire ``after`` from now."""

    after: timedelta


@dataclass(frozen=True)
class Pause:
    """Hold the timer; its due time stays."""


@dataclass(frozen=True)
class Resume:
    """Let it run again; a due time that has passed is due at once, by its misfire policy."""


@dataclass(frozen=True)
class FireNow:
    """Due now."""


@dataclass(frozen=True)
class CancelIt:
    """Call it off; of a fired timer, the retries that are still to come."""

    reason: str | None = None


Command = Reschedule | SnoozeBy | Pause | Resume | FireNow | CancelIt


@dataclass(frozen=True)
class _Effect:
    """What a command changes in the row, and the event that tells of it."""

    handover: str
    event: EventType
    values: dict[str, Any]
    told: dict[str, Any] = field(default_factory=dict)


async def change(
    connection: AsyncConnection,
    tenant: str,
    timer_id: str,
    command: Command,
    *,
    now: datetime,
    actor: str,
    if_generation: int | None,
) -> Timer:
    """Apply ``command`` and return the timer as it stands after it.

    Raises:
        Failure: not_found; stale, when the generation is another than ``if_generation``; conflict, when the
            timer's state does not allow the command (it has fired, say).
    """
    await overlaps.lock_of_timers(connection, [timer_id])
    row = await timers.row_of(connection, tenant, timer_id, for_update=True)
    require_generation("timer", row.generation, if_generation)
    changed, told = await carry_out(connection, row, command, now=now, actor=actor)
    await events.append(connection, tenant, told)
    return timers.view(changed)


async def carry_out(
    connection: AsyncConnection, row: sa.Row[Any], command: Command, *, now: datetime, actor: str
) -> tuple[sa.Row[Any], list[events.NewEvent]]:
    """Apply ``command`` to a locked timer; return its row after it, and the events to append last.

    Raises:
        Failure: conflict, when the timer's state does not allow the command.
    """
    state = TimerState(row.state)
    more: list[events.NewEvent] = []
    if isinstance(command, CancelIt) and state is TimerState.FIRED:
        awaited = row.escalation_id is not None
        await _cancel_retries(connection, row, now, delivered_allowed=awaited)
        if awaited:
            more = await awaiting.give_up(connection, row.escalation_id, now, actor)
    elif not state.waiting:
        raise _too_late(row, state, command)
    effect = _effect(row, state, command, now, actor)
    changed = (
        await connection.execute(
            sa.update(timers.TABLE)
            .where(timers.TABLE.c.id == row.id)
            .values(
                generation=timers.TABLE.c.generation + 1,
                handover=effect.handover,
                updated_at=now,
                **effect.values,
            )
            .returning(timers.TABLE)
        )
    ).one()
    if "labels" in effect.values:
        await timers.keep_labels(connection, row.tenant, row.id, effect.values["labels"])
    told = timers.event_of(changed, effect.event, now, by=actor, **effect.told)
    over = effect.event is EventType.TIMER_CANCELLED
    freed = await overlaps.release(connection, row.schedule_id, now) if over else []
    return changed, [told, *freed, *more]


def _effect(row: sa.Row[Any], state: TimerState, command: Command, now: datetime, actor: str) -> _Effect:
    # A timer that the engine does not know yet is still "scheduled"; the hand-over makes it "armed".
    running = TimerState.ARMED if row.armed_generation else TimerState.SCHEDULED
    match command:
        case Reschedule():
            values: dict[str, Any] = {}
            if command.fire_at is not None:
                values["fire_at"] = command.fire_at
            if command.payload is not UNSET:
                values["payload"] = command.payload
            if command.labels is not None:
                values["labels"] = dict(command.labels)
            moved = command.fire_at is not None
            kind = EventType.TIMER_RESCHEDULED if moved else EventType.TIMER_UPDATED
            told = {"was": row.fire_at.isoformat()} if moved else {"changed": sorted(values)}
            return _Effect("reschedule", kind, values, told)
        case SnoozeBy(after):
            told = {"was": row.fire_at.isoformat()}
            return _Effect("reschedule", EventType.TIMER_RESCHEDULED, {"fire_at": now + after}, told)
        case Pause():
            if state is TimerState.PAUSED:
                raise _conflict(row, "it is paused already", "Nothing needs doing; resume lets it run again.")
            return _Effect("pause", EventType.TIMER_PAUSED, {"state": TimerState.PAUSED.value})
        case Resume():
            if state is not TimerState.PAUSED:
                raise _conflict(row, f"it is {state}, not paused", "Nothing needs doing: it is running.")
            return _Effect("resume", EventType.TIMER_RESUMED, _running(running))
        case FireNow():
            told = {"was": row.fire_at.isoformat()}
            due_now = {"fire_at": now, **_running(running)}
            return _Effect("fire", EventType.TIMER_FIRE_REQUESTED, due_now, told)
        case CancelIt(reason):
            closed = {
                "state": TimerState.CANCELLED.value,
                "state_reason": reason or "cancelled on request",
                "closed_by": actor,
                "settled_at": now,
            }
            return _Effect("cancel", EventType.TIMER_CANCELLED, closed, {"reason": reason})


def _running(state: TimerState) -> dict[str, Any]:
    # Whoever resumes or fires an occurrence wants it, however late it is by then.
    return {"state": state.value, "state_reason": None, "held": False, "excused": True}


async def _cancel_retries(
    connection: AsyncConnection, row: sa.Row[Any], now: datetime, *, delivered_allowed: bool
) -> None:
    """Cancel the deliveries of a fired timer that wait for their next attempt."""
    table = schema.deliveries
    mine = (table.c.timer_id == row.id, table.c.replay_of.is_(None))
    # Locks the rows in one order, so that two transactions cannot wait for each other.
    states = (
        await connection.scalars(sa.select(table.c.state).where(*mine).order_by(table.c.id).with_for_update())
    ).all()
    planned = [state for state in deliveries.PLANNED if state in states]
    if DeliveryState.SENDING in states or not (planned or delivered_allowed):
        raise _too_late(row, TimerState.FIRED, CancelIt())
    cancelled = await connection.execute(
        sa.update(table)
        .where(*mine, table.c.state.in_([state.value for state in planned]))
        .values(state=DeliveryState.CANCELLED.value, closed_at=now, detail="the timer was cancelled")
        .returning(table)
    )
    await deliveries.make_way(connection, cancelled.all(), now)


_VERBS: Final = {
    Reschedule: "changed",
    SnoozeBy: "snoozed",
    Pause: "paused",
    Resume: "resumed",
    FireNow: "fired once more",
    CancelIt: "cancelled",
}


def _too_late(row: sa.Row[Any], state: TimerState, command: Command) -> Failure:
    when = {
        TimerState.FIRED: f"it fired at {_shown(row.fired_at)} and its actions are being delivered",
        TimerState.SETTLED: f"it fired at {_shown(row.fired_at)} and settled at {_shown(row.settled_at)}",
        TimerState.FAILED: f"it failed at {_shown(row.settled_at)}; its dead letters can be replayed",
        TimerState.CANCELLED: f"it was cancelled at {_shown(row.settled_at)}",
    }[state]
    return _conflict(
        row,
        f"{when}, so it can no longer be {_VERBS[type(command)]}",
        "Set a new timer with POST /v1/timers.",
    )


def _conflict(row: sa.Row[Any], why: str, remedy: str) -> Failure:
    return Failure(FailureKind.CONFLICT, f"timer {row.id}: {why}", remedy=remedy)


def _shown(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else moment.isoformat(timespec="milliseconds")
