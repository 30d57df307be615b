"""Why a timer has fired, or has not: a plain account from its row, its events and its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    Account,
    DeliveryState,
    DestinationState,
    Event,
    EventType,
    Misfire,
    TimerState,
    Why,
)
from minoots.durations import format_duration

from . import deliveries, destinations, events, timers
from .admission import Hold

LATE: Final = timedelta(milliseconds=250)
"""Less than this is on time."""

_HISTORY: Final = 200


async def why(connection: AsyncConnection, tenant: str, timer_id: str, now: datetime) -> Why:
    """Return the account of a timer.

    Raises:
        Failure: not_found.
    """
    row = await timers.row_of(connection, tenant, timer_id)
    told = await events.newest_about(connection, tenant, timer_id, limit=_HISTORY)
    late, because = _lateness(row, told, now)
    summary, next_at = await _summary(connection, row, now, late)
    return Why(
        id=row.id,
        state=row.state,
        summary=summary,
        late_by_ms=None if late is None else round(late.total_seconds() * 1000, 3),
        late_because=because,
        next_at=next_at,
        history=tuple(Account(at=event.time, what=_sentence(event)) for event in told),
    )


def _lateness(row: sa.Row[Any], told: Sequence[Event], now: datetime) -> tuple[timedelta | None, str | None]:
    """Return by how much it is or was late, and why, when that is worth a word."""
    state = TimerState(row.state)
    if row.fired_at is None and not (state.waiting and now > row.fire_at):
        return None, None
    late = (row.fired_at or now) - row.fire_at
    if late <= LATE:
        return (late if row.fired_at else None), None
    if state is TimerState.PAUSED:
        return late, "it is paused"
    by_type = {event.type: event for event in told}
    resumed = by_type.get(EventType.TIMER_RESUMED)
    if resumed is not None and resumed.time > row.fire_at:
        return late, f"it was paused until {_at(resumed.time)}, past its due time"
    armed = by_type.get(EventType.TIMER_ARMED)
    if row.created_at > row.fire_at:
        return late, "it was asked for with a due time in the past"
    untold = row.armed_generation < row.generation
    if untold or (armed is not None and armed.time > row.fire_at + LATE):
        return late, "the engine (Temporal) could not be told of it in time; GET /ready shows what is missing"
    return late, "no worker was free to fire it at the due time; GET /ready shows whether workers are polling"


async def _summary(
    connection: AsyncConnection, row: sa.Row[Any], now: datetime, late: timedelta | None
) -> tuple[str, datetime | None]:
    due = _at(row.fire_at)
    match TimerState(row.state):
        case TimerState.PAUSED:
            return f"It is paused. It was due at {due}; nothing happens until it is resumed.", None
        case TimerState.SCHEDULED | TimerState.ARMED if late is not None:
            misfire = Misfire.model_validate(row.misfire)
            rule = (
                "it will fire as soon as a worker takes it"
                if misfire.policy == "fire"
                else f"it will be skipped if it is more than {format_duration(misfire.grace)} late"
            )
            return f"It is overdue: it was due at {due}; {rule}.", None
        case TimerState.SCHEDULED:
            return (
                f"It is accepted and kept, but the engine has not been told yet. It is due at {due}.",
                row.fire_at,
            )
        case TimerState.ARMED:
            return f"It is waiting. It will fire at {due}, in {_span(row.fire_at - now)}.", row.fire_at
        case TimerState.FIRED:
            return await _delivering(connection, row)
        case TimerState.SETTLED:
            fired = f"It fired at {_at(row.fired_at)}, {_lateness_text(row)}"
            return f"{fired}, and every action succeeded by {_at(row.settled_at)}.", None
        case TimerState.FAILED:
            return (
                f"It fired at {_at(row.fired_at)}, {_lateness_text(row)}, but failed: {row.state_reason}. "
                "The dead letters (GET /v1/dead-letters) can be replayed.",
                None,
            )
        case TimerState.CANCELLED:
            who = f" by {row.closed_by}" if row.closed_by else ""
            fired = f" It had fired at {_at(row.fired_at)}; its retries were stopped." if row.fired_at else ""
            return f"It was cancelled at {_at(row.settled_at)}{who}: {row.state_reason}.{fired}", None


async def _delivering(connection: AsyncConnection, row: sa.Row[Any]) -> tuple[str, datetime | None]:
    rows = await deliveries.of_timer(connection, row.id)
    retrying = [one for one in rows if one.state == DeliveryState.RETRYING.value]
    waiting = [one for one in rows if one.state == DeliveryState.WAITING.value]
    fired = f"It fired at {_at(row.fired_at)}, {_lateness_text(row)}"
    if retrying:
        first = min(retrying, key=lambda one: one.planned_at)
        return (
            f"{fired}, but {first.url} is failing ({first.detail}) after {first.attempts} "
            f"attempt{'s' if first.attempts > 1 else ''}. The next attempt is at {_at(first.planned_at)}.",
            first.planned_at,
        )
    if waiting:
        first = min(waiting, key=lambda one: one.planned_at)
        for_what, until = await _waits_for(connection, first)
        return f"{fired}; what goes to {first.url} waits for {for_what}.", until
    return f"{fired}; its actions are being delivered now.", None


async def _waits_for(connection: AsyncConnection, row: sa.Row[Any]) -> tuple[str, datetime | None]:
    """Return what a delivery waits for, and until when, where that is known."""
    held = _HELD_BY.get(row.held_by, "its turn")
    if row.held_by == Hold.RATE.value:
        return f"{held}, {_at(row.planned_at)}", row.planned_at
    if row.held_by != Hold.CIRCUIT.value:
        return held, None
    found = (await destinations.lock(connection, row.tenant, [row.url_hash])).get(row.url_hash)
    if found is None:
        return held, None
    if found.probe_at is None and found.state == DestinationState.OPEN.value:
        return f"{held} ({found.reason}) until somebody closes it", None
    when = "" if found.probe_at is None else f"; it is tried again at {_at(found.probe_at)}"
    return f"{held} ({found.reason}){when}", found.probe_at


_HELD_BY: Final = {
    Hold.TURN.value: "an earlier delivery of its FIFO key",
    Hold.CIRCUIT.value: "its circuit, which is open",
    Hold.QUEUE.value: "others that are under way there",
    Hold.RATE.value: "the moment that its rate limit gives it",
}


def _sentence(event: Event) -> str:
    data = event.data
    by = f" by {data['by']}" if data.get("by") else ""
    match event.type:
        case EventType.TIMER_SCHEDULED:
            return f"accepted{by}, due {data['fire_at']}"
        case EventType.TIMER_ARMED:
            return "armed: the engine holds it"
        case EventType.TIMER_RESCHEDULED:
            return f"moved{by} from {data['was']} to {data['fire_at']}"
        case EventType.TIMER_UPDATED:
            return f"changed{by}: {', '.join(data['changed'])}"
        case EventType.TIMER_FIRE_REQUESTED:
            return f"asked{by} to fire now instead of at {data['was']}"
        case EventType.TIMER_FIRED:
            return f"fired, {data['lateness_ms']:g} ms after its due time"
        case EventType.TIMER_CANCELLED:
            return f"cancelled{by}" + (f": {data['reason']}" if data.get("reason") else "")
        case EventType.TIMER_SKIPPED | EventType.TIMER_FAILED:
            return str(data["reason"])
        case EventType.DELIVERY_SUCCEEDED:
            return (
                f"action {data['action']}: attempt {data['attempt']} succeeded with status {data['status']}"
            )
        case EventType.DELIVERY_RETRIED:
            return (
                f"action {data['action']}: attempt {data['attempt']} failed ({data.get('detail')}); "
                f"next attempt at {data['next_attempt_at']}"
            )
        case EventType.DELIVERY_DIED:
            tried = f"given up after attempt {data['attempt']}" if data["attempt"] else "never sent"
            return f"action {data['action']}: {tried} ({data.get('detail')})"
        case EventType.DELIVERY_HELD:
            return f"action {data['action']}: waits for {_HELD_BY.get(data['held_by'], 'its turn')}"
        case EventType.DELIVERY_REPLAYED:
            return f"action {data['action']}: replayed{by} as {data['delivery_id']}"
    return f"{event.type.partition('.')[2].replace('_', ' ')}{by}"


def _lateness_text(row: sa.Row[Any]) -> str:
    late = row.fired_at - row.fire_at
    return "on time" if late <= LATE else f"{_span(late)} late"


def _span(span: timedelta) -> str:
    # Whole milliseconds: more digits would pretend to a precision that nobody reads.
    return format_duration(timedelta(milliseconds=round(span.total_seconds() * 1000)))


def _at(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else moment.isoformat(timespec="milliseconds")
