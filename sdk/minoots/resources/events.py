"""``client.events``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

from minoots.async_engine import AsyncEngine
from minoots.contracts.events import Event
from minoots.contracts.pages import Page
from minoots.engine import Engine
from minoots.feed import Feed
from minoots.operations import events


class Events:
    """Read the tenant's feed of events."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        type: str | None = None,
        subject: str | None = None,
        label: Mapping[str, str] | None = None,
    ) -> Page[Event]:
        """Return one page of events with sequence numbers above ``after``, oldest first."""
        return self._engine.call(events.listing(after, limit, type, subject, label))

    def stream(
        self,
        *,
        after: int | None = None,
        type: str | None = None,
        subject: str | None = None,
        label: Mapping[str, str] | None = None,
    ) -> Iterator[Event]:
        """Yield events as they happen, for ever: from after ``after``, or from now.

        It reconnects by itself and resumes where it was: no sequence number comes twice, none is left out.
        If the gateway cannot be reached at the start, it raises `ConnectionFailed` after all retries.
        """
        return self._engine.stream(
            Feed(self._engine.connection, events.stream_query(type, subject, label), after)
        )


class AsyncEvents:
    """Read the tenant's feed of events."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        type: str | None = None,
        subject: str | None = None,
        label: Mapping[str, str] | None = None,
    ) -> Page[Event]:
        """Return one page of events with sequence numbers above ``after``, oldest first."""
        return await self._engine.call(events.listing(after, limit, type, subject, label))

    def stream(
        self,
        *,
        after: int | None = None,
        type: str | None = None,
        subject: str | None = None,
        label: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Event]:
        """Yield events as they happen, for ever; see `Events.stream`."""
        return self._engine.stream(
            Feed(self._engine.connection, events.stream_query(type, subject, label), after)
        )
