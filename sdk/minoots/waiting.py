"""Waiting for something to end: a long poll, again and again, through outages of the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from . import retrying
from .call import Call
from .connection import Connection
from .contracts.timers import Timer
from .errors import ConnectionFailed, MinootsError, Throttled, Unavailable, WaitTimeout
from .flow import Flow, Sleep, perform
from .operations.timers import LONGEST_POLL

if TYPE_CHECKING:
    from .contracts.ingest import Ingest
    from .contracts.jobs import JobDetail
    from .contracts.plans import PlanSummary

EndingT = TypeVar("EndingT", bound="Timer | PlanSummary | Ingest | JobDetail")

SHORTEST_POLL: Final = 1.0
"""Seconds from one poll to the next: a service that does not hold its answer back must not be hammered."""


def until_final(
    connection: Connection, what: str, read: Callable[[int | None], Call[EndingT]], timeout: float | None
) -> Flow[EndingT]:
    """Return ``what`` once it has ended.

    ``read`` makes the call that asks how it stands, held back for so many seconds.

    An outage that begins after the first answer is waited out, for the gateway is expected back.

    Raises:
        WaitTimeout: it is not final after ``timeout`` seconds; the text says where it stands.
        ConnectionFailed: the gateway could not be reached even once.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    seen: EndingT | None = None
    failures = 0
    while True:
        left = LONGEST_POLL if deadline is None else max(0.0, deadline - time.monotonic())
        started = time.monotonic()
        # Whole seconds only; what is left below one is slept on this side.
        hold = min(LONGEST_POLL, int(left)) if seen is not None or left >= 1 else 0
        pause = SHORTEST_POLL
        try:
            call = read(hold or None)
            # Later failures are this loop's to wait out: it knows the deadline, `perform` does not.
            seen = yield from perform(connection, call, retries=None if seen is None else 0)
            failures = 0
        except (ConnectionFailed, Throttled, Unavailable) as error:
            if seen is None:
                raise
            failures += 1
            pause = retrying.wait_before(failures + 4, longest=retrying.LONGEST_RECONNECT)
            if deadline is not None and time.monotonic() >= deadline:
                raise _expired(what, timeout, seen) from error
        else:
            if seen.state.final:
                return seen
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise _expired(what, timeout, seen)
        pause = max(0.0, pause - (now - started))
        if pause:
            yield Sleep(pause if deadline is None else min(pause, deadline - now))


def _expired(what: str, timeout: float | None, seen: EndingT | None) -> MinootsError:
    where = "unknown" if seen is None else str(seen.state)
    if isinstance(seen, Timer):
        where += f", due {seen.fire_at.isoformat()}"
    return WaitTimeout(
        f"expected {what} to have ended within {timeout:g} s; it is {where}\n  wait longer, or ask why"
    )
