"""The life of a workflow whose truth is in the records: look, sleep until the next look, and so on.

Owns when to look. What a look finds and does is an activity's business; nothing here has to be punctual, for
whatever has to be is a timer of its own, made ahead of its time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from .contract import Contract


class Subject(Contract):
    """Input of a workflow that sees to something in the records, and of the activity that looks at it."""

    tenant: str
    id: str
    """Its public id."""
    name: str = ""


class Moved(Contract):
    """Signal ``moved``: something has happened to the subject."""

    what: str = ""
    """For whoever reads the history: the id of what has ended, or ``changed``."""


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


class Paced(Generic[LookT]):
    """What workflows have in common that look again whenever they are told that something has moved."""

    _subject: Subject
    _seen: LookT

    def _begin(self, subject: Subject, seen: LookT) -> None:
        self._subject = subject
        self._seen = seen
        self._moves = 0
        self._looked_at = 0

    @workflow.signal
    def moved(self, move: Moved) -> None:
        """Look at the records again."""
        self._moves += 1

    async def _live(self, look: Callable[[], Awaitable[LookT]], told: Callable[[LookT], str]) -> LookT:
        """Look until it is over; ``told`` says for people what a look found."""

        async def once() -> LookT:
            self._looked_at = self._moves
            self._seen = await look()
            workflow.set_current_details(f"{told(self._seen)}; {next_look(self._seen.wake_at)}")
            return self._seen

        return await pace(self._subject, once, lambda: self._moves > self._looked_at)


def next_look(wake_at: datetime | None) -> str:
    """Return the time of the next look, for people."""
    return "waiting for a change" if wake_at is None else f"next look {wake_at.isoformat(timespec='seconds')}"
