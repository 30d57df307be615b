"""Sessions on the wire: conversations that were captured, recordings of them, and the hosts that capture."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from .base import Instant, View
from .conversations import ConversationEvent


class Session(View):
    """A conversation of somebody with an agent, as it was captured from the agent's own files."""

    id: str
    provider: str
    session_id: str
    """The program's own id."""
    parent_id: str | None = None
    """The session that began this one."""
    relation: str | None = None
    """What it is to its parent: ``subagent``, ``fork``, ``resume``, ``review``."""
    agent_id: str | None = None
    title: str | None = None
    cwd: str | None = None
    branch: str | None = None
    model: str | None = None
    version: str | None = None
    """Of the program."""
    events: int
    children: int = 0
    recordings: int = 0
    """Those that go on."""
    problem: str | None = None
    """Why a transcript of it cannot be read or understood."""
    started_at: Instant | None = None
    last_at: Instant | None = None
    """Of the last event that has a time."""
    updated_at: Instant


class SessionTree(View):
    """A session with those that it began."""

    session: Session
    children: tuple[SessionTree, ...] = ()
    omitted: int = 0
    """Children that are not shown, because there are too many."""


class NumberedEvent(View):
    """An event, and its place in the session."""

    number: int
    event: ConversationEvent


class SessionHit(View):
    """An event in which a search found something."""

    session_id: str
    provider: str
    title: str | None = None
    number: int
    event_id: str
    kind: str
    ts: Instant | None = None
    snippet: str
    """The text around what was found."""
    marks: tuple[tuple[int, int], ...] = ()
    """Begin and end of each word in ``snippet`` that was found."""


class Activity(StrEnum):
    """What a session does, as its last events tell."""

    EMPTY = "empty"
    UNANSWERED = "unanswered"
    """Somebody asked, and no answer has come."""
    THINKING = "thinking"
    WAITING_FOR_TOOL = "waiting_for_tool"
    IDLE = "idle"
    """The last word was the agent's."""
    ASKING = "asking"
    """It has put a question and waits for a person."""
    FAILED = "failed"
    """The last thing was an error."""


class SessionState(View):
    """What a session does, and since when."""

    session_id: str
    activity: Activity
    since: Instant | None = None
    """The time of the event that tells, where it has one."""
    number: int = 0
    """Of that event."""
    tools: tuple[str, ...] = ()
    """Those that are waited for."""
    quiet_seconds: float | None = None
    """Since the last event that has a time."""


class Recording(View):
    """A file that a session is written into."""

    id: str
    session_id: str
    host: str
    workspace: str | None = None
    kind: str
    state: str
    problem: str | None = None
    format: str
    path: str
    from_number: int
    until_number: int | None = None
    written: int
    """Up to this event."""
    size: int
    started_at: Instant
    stopped_at: Instant | None = None
    written_at: Instant | None = None


class CaptureHost(View):
    """A machine whose transcripts are captured."""

    host: str
    version: str
    started_at: Instant
    seen_at: Instant
    alive: bool
    """Whether it was heard of lately."""
    status: dict[str, Any] = Field(default_factory=dict)
    """Files it looks after, what it told, what went wrong."""
    sessions: int = 0
    transcripts: int = 0
    troubled: int = 0
    """Transcripts that cannot be read or understood."""
    behind: int = 0
    """Recordings that have something to write."""


class TroubledTranscript(View):
    """A file that cannot be read, or in which nothing is understood."""

    host: str
    path: str
    provider: str
    session_id: str
    """Of the session that it would belong to."""
    problem: str


class CaptureStatus(View):
    """How capture stands, at one moment."""

    at: Instant
    hosts: tuple[CaptureHost, ...]
    sessions: int
    """That were captured, those of sub-agents included."""
    events: int
    """In all of them."""
    recordings: dict[str, int]
    """How many stand how."""
    recording: tuple[Recording, ...]
    """Those that go on, the newest first; 50 at most."""
    troubled: tuple[TroubledTranscript, ...] = ()
    """What is wrong with transcripts; 20 at most."""
    recent: tuple[Session, ...]
    """To which something came last, without those of sub-agents; five at most."""


SessionTree.model_rebuild()
