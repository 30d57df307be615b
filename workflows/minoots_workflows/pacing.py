"""The life of a workflow whose truth is in the records: look, sleep until the next look, and so on.

Owns when to look. What a look finds and does is an activity's business; nothing here has to be punctual, for
whatever has to be is a timer of its own, made ahead of its time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, TypeVar

from temporalio import workflow


class Look(Protocol):
    """What a look found."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to look at."""
        ...

    @property
    def wake_at(self) -> datetime | None:
        """When to look again; ``None`` when only a change can bring more."""
        ...


LookT = TypeVar("LookT", bound=Look)


async def pace(start: object, look: Callable[[], Awaitable[LookT]], changed: Callable[[], bool]) -> LookT:
    """Look until it is over: at the times that each look gives, and whenever ``changed``.

    Continues as new with ``start`` when the history has grown long.
    """
    while True:
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(start)
        found = await look()
        if found.over:
            return found
        timeout = None if found.wake_at is None else found.wake_at - workflow.now()
        if timeout is not None and timeout.total_seconds() <= 0:
            continue
        try:
            await workflow.wait_condition(changed, timeout=timeout, timeout_summary=next_look(found.wake_at))
        except TimeoutError:
            continue


def next_look(wake_at: datetime | None) -> str:
    """Return the time of the next look, for people."""
    return "waiting for a change" if wake_at is None else f"next look {wake_at.isoformat(timespec='seconds')}"
