"""``client.sessions``, ``client.recordings`` and ``client.fleet``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.sessions import (
    CaptureHost,
    CaptureStatus,
    NumberedEvent,
    Recording,
    Session,
    SessionHit,
    SessionState,
    SessionTree,
)
from minoots.engine import Engine
from minoots.operations import sessions
from minoots.operations.sessions import Filter


class Sessions:
    """Read what was captured of sessions with agents."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, **fields: Unpack[Filter]) -> Iterator[Session]:
        """Yield sessions, those in which something was said last first."""
        return self._engine.items(sessions.listing(fields))

    def get(self, session_id: str) -> Session:
        """Return one."""
        return self._engine.call(sessions.read(session_id))

    def tree(self, session_id: str) -> SessionTree:
        """Return one with those of its sub-agents, and theirs."""
        return self._engine.call(sessions.tree(session_id))

    def events(self, session_id: str, *, after: int | None = None) -> Iterator[NumberedEvent]:
        """Yield what was said and done, the oldest first, after an event's number."""
        return self._engine.items(sessions.events(session_id, after))

    def state(self, session_id: str) -> SessionState:
        """Return what a session does, as its last events tell."""
        return self._engine.call(sessions.state(session_id))

    def search(
        self,
        words: str,
        *,
        provider: str | None = None,
        session_id: str | None = None,
        kind: str | None = None,
    ) -> Iterator[SessionHit]:
        """Yield events in which all of ``words`` stand, the newest first.

        Phrases stand in quotes; the beginning of a word has ``*`` behind it.
        """
        return self._engine.items(sessions.search(words, provider, session_id, kind))


class Recordings:
    """Read which sessions are written into which files."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, *, session_id: str | None = None, state: Sequence[str] = ()) -> Iterator[Recording]:
        """Yield recordings, the newest first."""
        return self._engine.items(sessions.recordings(session_id, state))

    def get(self, recording_id: str) -> Recording:
        """Return one."""
        return self._engine.call(sessions.recording(recording_id))


class Fleet:
    """Read how the hosts that capture stand."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Iterator[CaptureHost]:
        """Yield the hosts by name."""
        return self._engine.items(sessions.fleet())

    def status(self) -> CaptureStatus:
        """Return how capture stands: hosts, counts, what is recorded now, what was said last."""
        return self._engine.call(sessions.fleet_status())


class AsyncSessions:
    """Read what was captured of sessions with agents."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self, **fields: Unpack[Filter]) -> AsyncIterator[Session]:
        """Yield sessions, those in which something was said last first."""
        return self._engine.items(sessions.listing(fields))

    async def get(self, session_id: str) -> Session:
        """Return one."""
        return await self._engine.call(sessions.read(session_id))

    async def tree(self, session_id: str) -> SessionTree:
        """Return one with those of its sub-agents, and theirs."""
        return await self._engine.call(sessions.tree(session_id))

    def events(self, session_id: str, *, after: int | None = None) -> AsyncIterator[NumberedEvent]:
        """Yield what was said and done, the oldest first, after an event's number."""
        return self._engine.items(sessions.events(session_id, after))

    async def state(self, session_id: str) -> SessionState:
        """Return what a session does, as its last events tell."""
        return await self._engine.call(sessions.state(session_id))

    def search(
        self,
        words: str,
        *,
        provider: str | None = None,
        session_id: str | None = None,
        kind: str | None = None,
    ) -> AsyncIterator[SessionHit]:
        """Yield events in which all of ``words`` stand, the newest first.

        Phrases stand in quotes; the beginning of a word has ``*`` behind it.
        """
        return self._engine.items(sessions.search(words, provider, session_id, kind))


class AsyncRecordings:
    """Read which sessions are written into which files."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self, *, session_id: str | None = None, state: Sequence[str] = ()) -> AsyncIterator[Recording]:
        """Yield recordings, the newest first."""
        return self._engine.items(sessions.recordings(session_id, state))

    async def get(self, recording_id: str) -> Recording:
        """Return one."""
        return await self._engine.call(sessions.recording(recording_id))


class AsyncFleet:
    """Read how the hosts that capture stand."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self) -> AsyncIterator[CaptureHost]:
        """Yield the hosts by name."""
        return self._engine.items(sessions.fleet())

    async def status(self) -> CaptureStatus:
        """Return how capture stands: hosts, counts, what is recorded now, what was said last."""
        return await self._engine.call(sessions.fleet_status())
