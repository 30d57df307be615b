"""Operations on captured sessions, recordings and hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from minoots.call import Call, get, path
from minoots.contracts.pages import Page
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

from .timers import Moment


class Filter(TypedDict, total=False):
    """Which sessions; of what is not given, all."""

    provider: str
    cwd: str
    """The folder, or one above it."""
    title: str
    session: str
    """The program's own id, or the beginning of it."""
    parent_id: str
    subagents: bool
    recorded: bool
    since: Moment
    until: Moment


def listing(fields: Filter) -> Call[Page[Session]]:
    """GET /v1/sessions."""
    wanted: dict[str, Any] = dict(fields)
    return get("/v1/sessions", Page[Session], **wanted)


def read(session_id: str) -> Call[Session]:
    """GET /v1/sessions/{id}."""
    return get(path("/v1/sessions/{id}", id=session_id), Session)


def tree(session_id: str) -> Call[SessionTree]:
    """GET /v1/sessions/{id}/tree."""
    return get(path("/v1/sessions/{id}/tree", id=session_id), SessionTree)


def events(session_id: str, after: int | None) -> Call[Page[NumberedEvent]]:
    """GET /v1/sessions/{id}/events."""
    return get(path("/v1/sessions/{id}/events", id=session_id), Page[NumberedEvent], after=after, limit=200)


def state(session_id: str) -> Call[SessionState]:
    """GET /v1/sessions/{id}/state."""
    return get(path("/v1/sessions/{id}/state", id=session_id), SessionState)


def search(
    words: str, provider: str | None, session_id: str | None, kind: str | None
) -> Call[Page[SessionHit]]:
    """GET /v1/sessions/search."""
    return get(
        "/v1/sessions/search",
        Page[SessionHit],
        q=words,
        provider=provider,
        session_id=session_id,
        kind=kind,
    )


def recordings(session_id: str | None, state: Sequence[str]) -> Call[Page[Recording]]:
    """GET /v1/recordings."""
    return get("/v1/recordings", Page[Recording], session_id=session_id, state=list(state) or None)


def recording(recording_id: str) -> Call[Recording]:
    """GET /v1/recordings/{id}."""
    return get(path("/v1/recordings/{id}", id=recording_id), Recording)


def fleet() -> Call[Page[CaptureHost]]:
    """GET /v1/fleet."""
    return get("/v1/fleet", Page[CaptureHost])


def fleet_status() -> Call[CaptureStatus]:
    """GET /v1/fleet/status."""
    return get("/v1/fleet/status", CaptureStatus)
