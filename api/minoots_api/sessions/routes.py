"""``/v1/sessions``, ``/v1/recordings`` and ``/v1/fleet``: what was captured, to read."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from minoots.contracts import Page
from minoots.contracts.base import Instant
from minoots.contracts.conversations import ConversationEventKind
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
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, Limit, Text, known_form, number_of
from minoots_api.principals import SessionsReader
from minoots_api.routing import Router
from minoots_platform.records import fleet, session_search, sessions
from minoots_platform.records.recordings import State
from minoots_platform.records.session_search import Search
from minoots_platform.records.sessions import SessionFilter

router = Router(tags=["sessions"])

PublicId = Annotated[str, Path()]
Provider = Annotated[Text | None, Query(max_length=32, description="Such as claude, codex, gemini.")]


@router.get("/v1/sessions", response_model=Page[Session])
async def list_sessions(
    gateway: Here,
    principal: SessionsReader,
    provider: Provider = None,
    cwd: Annotated[Text | None, Query(max_length=2048, description="The folder, or one above it.")] = None,
    title: Annotated[Text | None, Query(min_length=1, max_length=200)] = None,
    session: Annotated[
        Text | None, Query(max_length=255, description="The program's own id, or the beginning of it.")
    ] = None,
    parent_id: Annotated[Text | None, Query(max_length=40)] = None,
    subagents: Annotated[bool, Query(description="Whether those of sub-agents are listed, too.")] = False,
    recorded: Annotated[bool | None, Query(description="Whether it is being recorded.")] = None,
    since: Instant | None = None,
    until: Instant | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Session]:
    """List captured sessions, those in which something was said last first."""
    wanted = SessionFilter(provider, cwd, title, session, parent_id, subagents, recorded, since, until)
    async with gateway.database.read() as connection:
        await sessions.require_provider(connection, principal.tenant, provider)
        return await sessions.page(connection, principal.tenant, wanted, limit=limit, cursor=cursor)


@router.get("/v1/sessions/search", response_model=Page[SessionHit])
async def search_sessions(
    gateway: Here,
    principal: SessionsReader,
    q: Annotated[Text, Query(min_length=1, max_length=400, description='Words, "phrases", begin*.')],
    provider: Provider = None,
    session_id: Annotated[Text | None, Query(max_length=40)] = None,
    kind: ConversationEventKind | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SessionHit]:
    """Search in everything that was said and done in sessions, the newest first."""
    wanted = Search(session_search.terms_of(q), provider, session_id, kind)
    async with gateway.database.read() as connection:
        await sessions.require_provider(connection, principal.tenant, provider)
        return await session_search.search(
            connection, principal.tenant, wanted, limit=limit, before=number_of(cursor)
        )


@router.get("/v1/sessions/{id}", response_model=Session)
async def get_session(id: PublicId, gateway: Here, principal: SessionsReader) -> Session:
    """Get a session."""
    known_form(id, "cnv", "session")
    async with gateway.database.read() as connection:
        return await sessions.get(connection, principal.tenant, id)


@router.get("/v1/sessions/{id}/tree", response_model=SessionTree)
async def get_session_tree(id: PublicId, gateway: Here, principal: SessionsReader) -> SessionTree:
    """Get a session with those of its sub-agents, and theirs."""
    known_form(id, "cnv", "session")
    async with gateway.database.read() as connection:
        return await sessions.tree(connection, principal.tenant, id)


@router.get("/v1/sessions/{id}/events", response_model=Page[NumberedEvent])
async def list_session_events(
    id: PublicId,
    gateway: Here,
    principal: SessionsReader,
    after: Annotated[int, Query(ge=0, le=2**53, description="The number to go on after.")] = 0,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[NumberedEvent]:
    """List what was said and done in a session, the oldest first."""
    known_form(id, "cnv", "session")
    begin = number_of(cursor)
    async with gateway.database.read() as connection:
        await sessions.get(connection, principal.tenant, id)
        return await sessions.events(
            connection, principal.tenant, id, after=after if begin is None else begin, limit=limit
        )


@router.get("/v1/sessions/{id}/state", response_model=SessionState)
async def get_session_state(id: PublicId, gateway: Here, principal: SessionsReader) -> SessionState:
    """Tell what a session does, as its last events tell: idle, thinking, waiting for a tool, unanswered."""
    known_form(id, "cnv", "session")
    async with gateway.database.read() as connection:
        return await sessions.state(connection, principal.tenant, id, gateway.clock())


@router.get("/v1/recordings", response_model=Page[Recording])
async def list_recordings(
    gateway: Here,
    principal: SessionsReader,
    session_id: Annotated[Text | None, Query(max_length=40)] = None,
    state: Annotated[list[State] | None, Query(max_length=4)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Recording]:
    """List recordings of sessions into files, the newest first."""
    states = [one.value for one in state or ()]
    async with gateway.database.read() as connection:
        return await sessions.recordings_page(
            connection, principal.tenant, session_id=session_id, states=states, limit=limit, cursor=cursor
        )


@router.get("/v1/recordings/{id}", response_model=Recording)
async def get_recording(id: PublicId, gateway: Here, principal: SessionsReader) -> Recording:
    """Get a recording: its file, and how far it is written."""
    known_form(id, "rec", "recording")
    async with gateway.database.read() as connection:
        return await sessions.recording(connection, principal.tenant, id)


@router.get("/v1/fleet", response_model=Page[CaptureHost])
async def list_fleet(gateway: Here, principal: SessionsReader) -> Page[CaptureHost]:
    """List the hosts that capture: whether each is alive, what it looks after, what is wrong."""
    async with gateway.database.read() as connection:
        found = await fleet.hosts(connection, principal.tenant, gateway.clock())
    return Page[CaptureHost](items=found)


@router.get("/v1/fleet/status", response_model=CaptureStatus)
async def get_fleet_status(gateway: Here, principal: SessionsReader) -> CaptureStatus:
    """Tell how capture stands: hosts, counts, what is recorded now, what was said last."""
    async with gateway.database.read() as connection:
        return await fleet.status(connection, principal.tenant, gateway.clock())
