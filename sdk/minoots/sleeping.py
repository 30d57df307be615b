"""Durable sleep: a timer that does nothing but end, and what may end it earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from .call import invalid
from .connection import Connection
from .contracts.events import Event, EventType
from .contracts.timers import Timer, TimerState
from .errors import Conflict, ConnectionFailed, Throttled, Unavailable
from .flow import Flow, Sleep, perform
from .operations import events, timers
from .operations.timers import LONGEST_POLL, Length

WakeOn = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Events that end a sleep: ``{"type": "escalation.acknowledged", "subject": "esc_…"}``, or several of them.
Each takes ``type``, ``subject`` and ``label``, and matches when all that are given do."""

_GLANCE: Final = 1
"""Seconds between two looks for an event that would end the sleep."""

_OUTAGE: Final = 2.0


@dataclass(frozen=True)
class Woken:
    """Why a sleep ended.

    Attributes:
        reason: ``slept`` to the end; ``fired`` or ``cancelled`` by somebody; an ``event`` waited for.
        by: who fired or cancelled its timer.
        detail: the reason that they gave.
        event: the event that ended it.
        timer: the timer behind the sleep, as it stands.
    """

    reason: Literal["slept", "fired", "cancelled", "event"]
    timer: Timer
    by: str | None = None
    detail: str | None = None
    event: Event | None = None

    @property
    def early(self) -> bool:
        """Whether it ended before its time."""
        return self.reason != "slept"


def asleep(
    connection: Connection, length: Length, wake_on: WakeOn | None, name: str, key: str | None
) -> Flow[Woken]:
    """Sleep on the service; return when the time is over, or somebody or something woke it."""
    filters = _filters(wake_on)
    action = {"kind": "feed"}
    call = timers.create({"name": name, "after": length, "actions": [action], "idempotency_key": key})
    timer = yield from perform(connection, call)
    [begun] = (yield from perform(connection, timers.events(timer.id))).items[:1]
    hold = _GLANCE if filters else LONGEST_POLL
    while True:
        try:
            timer = yield from perform(connection, timers.read(timer.id, hold), retries=0)
            if timer.state.final:
                return (yield from _end_of(connection, timer))
            for one in filters:
                look = events.listing(
                    begun.sequence, 1, one.get("type"), one.get("subject"), one.get("label")
                )
                found = yield from perform(connection, look, retries=0)
                if found.items:
                    return (yield from _wake(connection, timer, found.items[0]))
        except (ConnectionFailed, Throttled, Unavailable):
            # The timer lives on; the gateway is expected back.
            yield Sleep(_OUTAGE)


def _filters(wake_on: WakeOn | None) -> list[Mapping[str, Any]]:
    filters = [wake_on] if isinstance(wake_on, Mapping) else list(wake_on or ())
    for one in filters:
        unknown = one.keys() - {"type", "subject", "label"}
        if unknown or not one:
            raise invalid("wake_on", "type, subject and label", ", ".join(sorted(unknown)) or "nothing")
    return filters


def _wake(connection: Connection, timer: Timer, event: Event) -> Flow[Woken]:
    try:
        call = timers.cancel(timer.id, f"woken by {event.type} of {event.subject}"[:500])
        timer = yield from perform(connection, call)
    except Conflict:
        timer = yield from perform(connection, timers.read(timer.id))
    return Woken("event", timer, event=event)


def _end_of(connection: Connection, timer: Timer) -> Flow[Woken]:
    if timer.state is TimerState.CANCELLED:
        return Woken("cancelled", timer, by=timer.closed_by, detail=timer.state_reason)
    told = (yield from perform(connection, timers.events(timer.id))).items
    for event in told:
        if event.type == EventType.TIMER_FIRE_REQUESTED:
            return Woken("fired", timer, by=str(event.data.get("by")), event=event)
    return Woken("slept", timer)
