"""Reading a tenant's log as it grows: what server-sent events and WebSockets have in common.

What is new is read once for all readers (see `tailer`); a reader that is behind reads from the records until
it has caught up. The reader sets the pace, and loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from minoots_api.gateway import Gateway
from minoots_platform.records import events
from minoots_platform.records.events import EventFilter

from .tailer import Entry, Following

PAGE: Final = 100


@dataclass(frozen=True)
class Batch:
    """The next events of a reader."""

    entries: tuple[Entry, ...]
    more: bool
    """Whether there are others already."""
    lagged: bool = False
    """Whether the reader was up to date before and has fallen behind what is kept for readers."""


class LogReader:
    """One reader of one tenant's log, with a filter.

    Attributes:
        position: the number up to which the log was looked through; a reader resumes from here.
    """

    def __init__(self, gateway: Gateway, tenant: str, position: int, wanted: EventFilter) -> None:
        self._gateway = gateway
        self._tenant = tenant
        self._wanted = wanted
        self._live = False
        self.position = position

    async def next(self, following: Following) -> Batch:
        """Return what comes next, which may be nothing."""
        kept = following.take(self.position, PAGE)
        if kept is not None:
            self._live = True
            if kept:
                self.position = kept[-1].sequence
            return Batch(tuple(filter(self._matches, kept)), more=len(kept) == PAGE)
        lagged, self._live = self._live, False
        async with self._gateway.database.read() as connection:
            page = await events.read(
                connection, self._tenant, after=self.position, limit=PAGE, wanted=self._wanted
            )
        self.position = page.position
        entries = tuple(
            Entry(event.sequence, event.type, event.subject, event.labels, event.model_dump_json())
            for event in page.events
        )
        return Batch(entries, page.more, lagged)

    async def wait(self, following: Following) -> bool:
        """Wait for news as long as a quiet stream may be; ``False`` when there is none."""
        return await following.wait(self.position, self._gateway.settings.gateway.stream_heartbeat)

    def _matches(self, entry: Entry) -> bool:
        wanted = self._wanted
        return (
            (not wanted.types or entry.type in wanted.types)
            and wanted.subject in (None, entry.subject)
            and all(entry.labels.get(key) == value for key, value in wanted.labels)
        )
