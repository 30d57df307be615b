"""Following a job: what happened, as it happens, through outages of the gateway; and what of it still holds.

Does no I/O: the flow here yields what is to be sent, and the clients send it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from . import retrying
from .connection import Connection
from .contracts.jobs import JobEvent, JobEvents, JobEventType
from .errors import ConnectionFailed, Throttled, Unavailable
from .flow import Flow, Sleep, perform
from .operations import jobs

_POLL: Final = 20
"""Seconds that one question is held back: short enough for every proxy on the way."""


def next_events(connection: Connection, job_id: str, after: int, *, known: bool) -> Flow[JobEvents]:
    """Return what comes after an event, or where the job stands when it has ended.

    ``known`` says that the gateway has answered before: then an outage is waited out.

    Raises:
        ConnectionFailed: it could not be reached even once.
    """
    failures = 0
    while True:
        try:
            call = jobs.events(job_id, after, _POLL)
            found = yield from perform(connection, call, retries=0 if known else None)
        except (ConnectionFailed, Throttled, Unavailable):
            if not known:
                raise
            failures += 1
            yield Sleep(retrying.wait_before(failures, longest=retrying.LONGEST_RECONNECT))
            continue
        if found.items or found.state.final:
            return found
        known = True


class Transcript:
    """What a job has written so far: what later attempts have made void is left out."""

    def __init__(self) -> None:
        self._events: list[JobEvent] = []

    def add(self, event: JobEvent) -> bool:
        """Take an event in; return whether something that was written before is void now."""
        after = event.data.get("drop_after")
        kept = self._events if after is None else [one for one in self._events if one.sequence <= after]
        dropped = any(_writes(one) for one in self._events[len(kept) :])
        self._events = [*kept, event]
        return dropped

    def text(self, stream: str | None = None) -> str:
        """Return what a model has written, or a program: to both streams, or to one of them."""
        return "".join(
            event.data.get("text", "")
            for event in self._events
            if _writes(event) and stream in (None, event.data.get("stream"))
        )

    @property
    def events(self) -> Iterable[JobEvent]:
        """The events that hold."""
        return tuple(self._events)


def _writes(event: JobEvent) -> bool:
    return event.type in (JobEventType.LOG, JobEventType.TOKEN)
