"""Sessions as people see them: conversations in lists, trees, their events, and what they do right now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import FieldProblem, Page
from minoots.contracts.conversations import ConversationEvent, ConversationEventKind
from minoots.contracts.sessions import (
    Activity,
    NumberedEvent,
    Recording,
    Session,
    SessionState,
    SessionTree,
)
from minoots.errors import Failure, FailureKind
from minoots_platform.settings import programs

from . import conversations, recordings, schema
from .paging import newest_first

TABLE = schema.conversations
_CHILDREN: Final = 500
"""Of one session that a tree shows."""
_TAIL: Final = 400
"""Events that are looked at for what a session does."""
Kind = ConversationEventKind


_ACTIVITIES: Final = {
    Kind.USER: Activity.UNANSWERED,
    Kind.ASSISTANT: Activity.IDLE,
    Kind.THINKING: Activity.THINKING,
    Kind.TOOL_RESULT: Activity.THINKING,
    Kind.TOOL_CALL: Activity.WAITING_FOR_TOOL,
    Kind.DECISION: Activity.ASKING,
    Kind.ERROR: Activity.FAILED,
}


@dataclass(frozen=True)
class SessionFilter:
    """Which sessions; of what is not given, all."""

    provider: str | None = None
    cwd: str | None = None
    """The folder, or one above it."""
    title: str | None = None
    """What the title holds, in any case of letters."""
    session: str | None = None
    """The program's own id, or the beginning of it."""
    parent_id: str | None = None
    subagents: bool = False
    """Whether those that sessions began are listed, too."""
    recorded: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


async def require_provider(connection: AsyncConnection, tenant: str, provider: str | None) -> None:
    """Make sure that there can be sessions of a program: a name that is misspelt finds none, silently.

    Raises:
        Failure: invalid, for a program that nobody can read and of which nothing is kept.
    """
    known = programs()
    if provider is None or provider in known:
        return
    # One that a plug-in of another host reads.
    mine = sa.select(TABLE.c.provider).where(TABLE.c.tenant == tenant).distinct()
    kept = set(await connection.scalars(mine))
    if provider not in kept:
        names = sorted(known | kept)
        near = get_close_matches(provider.lower(), names, n=1)
        expected = f"one of {', '.join(names)}"
        raise Failure(
            FailureKind.INVALID,
            f"nobody captures sessions of {provider!r}",
            remedy=f"Did you mean {near[0]}?" if near else f"Give {expected}.",
            errors=(FieldProblem(field="query.provider", expected=expected, got=repr(provider)),),
        )


async def page(
    connection: AsyncConnection, tenant: str, wanted: SessionFilter, *, limit: int, cursor: str | None
) -> Page[Session]:
    """Return sessions, those in which something was said last first; empty ones are left out.

    Of those whose programs tell no time, it is when something came.
    """
    query = _shown().where(TABLE.c.tenant == tenant, TABLE.c.events > TABLE.c.cleaned)
    if wanted.provider is not None:
        query = query.where(TABLE.c.provider == wanted.provider)
    if wanted.cwd is not None:
        cwd = TABLE.c.facts["cwd"].as_string()
        folder = wanted.cwd.rstrip("/")
        query = query.where(sa.or_(cwd == folder, _begins(cwd, folder + "/")))
    if wanted.title is not None:
        query = query.where(TABLE.c.title.icontains(wanted.title, autoescape=True))
    if wanted.session is not None:
        query = query.where(_begins(TABLE.c.session_id, wanted.session))
    if wanted.parent_id is not None:
        query = query.where(TABLE.c.parent_id == wanted.parent_id)
    elif not wanted.subagents:
        query = query.where(sa.or_(TABLE.c.relation.is_(None), TABLE.c.relation != "subagent"))
    if wanted.recorded is not None:
        goes_on = _recordings_of_it() > 0
        query = query.where(goes_on if wanted.recorded else sa.not_(goes_on))
    if wanted.since is not None:
        query = query.where(TABLE.c.last_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(TABLE.c.started_at < wanted.until)
    return await newest_first(
        connection,
        query,
        # Not when it was captured: a first look at the files of years takes old ones in beside new ones.
        # Nor a time to come: the clock of a program that is wrong would stay at the top.
        sa.case((TABLE.c.last_at < TABLE.c.updated_at, TABLE.c.last_at), else_=TABLE.c.updated_at),
        "sessions",
        _session,
        limit=limit,
        cursor=cursor,
        row_id=TABLE.c.id,
    )


async def get(connection: AsyncConnection, tenant: str, public_id: str) -> Session:
    """Return a session.

    Raises:
        Failure: not_found.
    """
    query = _shown().where(TABLE.c.tenant == tenant, TABLE.c.id == public_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no session {public_id[:60]}",
            remedy="GET /v1/sessions lists them.",
        )
    return _session(row)


async def tree(connection: AsyncConnection, tenant: str, public_id: str, depth: int = 5) -> SessionTree:
    """Return a session with those that it began, and those that these began.

    Raises:
        Failure: not_found.
    """
    session = await get(connection, tenant, public_id)
    return await _tree(connection, tenant, session, depth)


async def _tree(connection: AsyncConnection, tenant: str, session: Session, depth: int) -> SessionTree:
    if depth == 0 or not session.children:
        return SessionTree(session=session, omitted=session.children)
    query = _shown().where(
        TABLE.c.tenant == tenant,
        TABLE.c.parent_id == session.id,
        TABLE.c.events > TABLE.c.cleaned,
        # One that began itself is none of its children.
        TABLE.c.id != session.id,
    )
    rows = await connection.execute(query.order_by(TABLE.c.started_at, TABLE.c.id).limit(_CHILDREN))
    children = [await _tree(connection, tenant, _session(row), depth - 1) for row in rows]
    return SessionTree(session=session, children=tuple(children), omitted=session.children - len(children))


async def events(
    connection: AsyncConnection, tenant: str, public_id: str, *, after: int, limit: int
) -> Page[NumberedEvent]:
    """Return events after a number, the oldest first; the cursor is the number of the last."""
    found = await conversations.numbered(connection, tenant, public_id, after=after, limit=limit + 1)
    shown = tuple(NumberedEvent(number=number, event=event) for number, event in found[:limit])
    more = len(found) > limit
    return Page(items=shown, next_cursor=str(shown[-1].number) if more else None)


async def state(connection: AsyncConnection, tenant: str, public_id: str, now: datetime) -> SessionState:
    """Return what a session does, as its last events tell.

    Raises:
        Failure: not_found.
    """
    session = await get(connection, tenant, public_id)
    tail = await conversations.last_of(connection, tenant, public_id, limit=_TAIL)
    told = activity_of(tail)
    quiet = None if session.last_at is None else max(0.0, (now - session.last_at).total_seconds())
    return told.model_copy(update={"session_id": public_id, "quiet_seconds": quiet})


def activity_of(tail: Sequence[tuple[int, ConversationEvent]]) -> SessionState:
    """Return what the last events of a session tell. Pure."""
    telling = [(number, event) for number, event in tail if _ACTIVITIES.get(event.kind) and _counts(event)]
    if not telling:
        return SessionState(session_id="", activity=Activity.EMPTY)
    number, last = telling[-1]
    answered = {event.tool.call_id for _, event in tail if event.kind is Kind.TOOL_RESULT and event.tool}
    # Calls that are older than the last word were given up: a kill leaves them without an answer.
    spoken = max((at for at, event in telling if event.kind in (Kind.USER, Kind.ASSISTANT)), default=0)
    waiting = [
        event.tool.name or "tool"
        for at, event in telling
        if event.kind is Kind.TOOL_CALL and event.tool and event.tool.call_id not in answered and at > spoken
    ]
    activity = _ACTIVITIES[last.kind]
    if last.details.get("interrupted"):
        activity = Activity.IDLE
    elif last.kind is Kind.DECISION and last.choice and last.choice.chosen:
        activity = Activity.THINKING
    elif last.kind is Kind.ASSISTANT and last.phase == "commentary":
        activity = Activity.THINKING
    if activity in (Activity.THINKING, Activity.WAITING_FOR_TOOL):
        activity = Activity.WAITING_FOR_TOOL if waiting else Activity.THINKING
    tools = tuple(dict.fromkeys(waiting)) if activity is Activity.WAITING_FOR_TOOL else ()
    return SessionState(session_id="", activity=activity, since=last.ts, number=number, tools=tools)


def _counts(event: ConversationEvent) -> bool:
    """Tell whether an event says what a session does: what a program put in does not."""
    return event.kind is not Kind.USER or not event.injected or bool(event.details.get("interrupted"))


async def recordings_page(
    connection: AsyncConnection,
    tenant: str,
    *,
    session_id: str | None,
    states: Sequence[str],
    limit: int,
    cursor: str | None,
) -> Page[Recording]:
    """Return recordings, the newest first."""
    table = recordings.TABLE
    query = sa.select(table).where(table.c.tenant == tenant)
    if session_id is not None:
        query = query.where(table.c.conversation_id == session_id)
    if states:
        query = query.where(table.c.state.in_(states))
    return await newest_first(
        connection, query, table.c.started_at, "recordings", _recording, limit=limit, cursor=cursor
    )


async def recording(connection: AsyncConnection, tenant: str, public_id: str) -> Recording:
    """Return a recording.

    Raises:
        Failure: not_found.
    """
    row = await recordings.get(connection, tenant, public_id)
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no recording {public_id[:60]}",
            remedy="GET /v1/recordings lists them.",
        )
    return _recording(row)


def _begins(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    # Not by LIKE: SQLite's knows no case.
    return sa.func.substr(column, 1, len(text)) == text


def _shown() -> sa.Select[Any]:
    children = TABLE.alias("children")
    files = schema.transcripts
    begun = (
        sa.select(sa.func.count())
        .select_from(children)
        .where(
            children.c.tenant == TABLE.c.tenant,
            children.c.parent_id == TABLE.c.id,
            children.c.id != TABLE.c.id,
            children.c.events > children.c.cleaned,
        )
        .correlate(TABLE)
    )
    problem = (
        sa.select(sa.func.max(files.c.problem)).where(files.c.conversation_id == TABLE.c.id).correlate(TABLE)
    )
    return sa.select(
        TABLE,
        begun.scalar_subquery().label("children"),
        _recordings_of_it().label("recordings"),
        problem.scalar_subquery().label("problem"),
    )


def _recordings_of_it() -> sa.ScalarSelect[int]:
    table = recordings.TABLE
    return (
        sa.select(sa.func.count())
        .select_from(table)
        .where(table.c.conversation_id == TABLE.c.id, table.c.state == recordings.State.ACTIVE.value)
        .correlate(TABLE)
        .scalar_subquery()
    )


def _session(row: sa.Row[Any]) -> Session:
    facts = {name: value for name, value in row.facts.items() if isinstance(value, str)}
    return Session(
        id=row.id,
        provider=row.provider,
        session_id=row.session_id,
        parent_id=row.parent_id,
        relation=row.relation,
        agent_id=row.agent_id,
        title=row.title,
        cwd=facts.get("cwd"),
        branch=facts.get("branch"),
        model=facts.get("model"),
        version=facts.get("version"),
        events=row.events - row.cleaned,
        children=row.children,
        recordings=row.recordings,
        problem=row.problem,
        started_at=row.started_at,
        last_at=row.last_at,
        updated_at=row.updated_at,
    )


def _recording(row: sa.Row[Any]) -> Recording:
    return Recording(
        id=row.id,
        session_id=row.conversation_id,
        host=row.host,
        workspace=row.alias,
        kind=row.kind,
        state=row.state,
        problem=row.problem,
        format=row.format,
        path=row.path,
        from_number=row.from_number,
        until_number=row.until_number,
        written=row.written,
        size=row.size,
        started_at=row.started_at,
        stopped_at=row.stopped_at,
        written_at=row.written_at,
    )
