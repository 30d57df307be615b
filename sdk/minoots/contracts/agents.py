"""Agents on the wire: who they are, and the commands in their inboxes."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, JsonValue, field_validator

from .base import Duration, Instant, Labels, Matching, Name, Request, View
from .payloads import Note, Payload

AGENT_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
AgentId = Annotated[
    str,
    Matching(
        AGENT_ID_PATTERN,
        "an id of 1 to 63 lower-case letters, digits, - and _, beginning with a letter or digit",
    ),
]
"""What an agent is called; its owner chooses."""

MIN_LEASE: Final = timedelta(seconds=1)
MAX_LEASE: Final = timedelta(hours=1)
MAX_LEASES: Final = 10
"""So often a command is handed out; then it is dead, for it would hold up those behind it for ever."""

LeaseToken = Annotated[str, Matching(r"^lse_[0-9A-Z]{26}$", "the lease that came with the command")]


def _lease_length(value: timedelta) -> timedelta:
    if not MIN_LEASE <= value <= MAX_LEASE:
        raise ValueError("expected a lease between 1s and 1h")
    return value


class AgentRegister(Request):
    """An agent to register; registering it again changes what is given."""

    id: AgentId
    description: Annotated[str, Field(max_length=500)] | None = None
    labels: Labels = Field(default_factory=dict)


class Agent(View):
    """An agent, and how full its inbox is."""

    id: str
    description: str | None
    labels: dict[str, str]
    created_at: Instant
    last_seen_at: Instant | None
    """When it last asked for commands or answered one."""
    waiting: int
    """Commands that it has not answered, leased ones included."""
    oldest_at: Instant | None
    """Since when the oldest of them waits."""


class CommandState(StrEnum):
    """Where a command stands. All but ``queued`` and ``leased`` are final."""

    QUEUED = "queued"
    LEASED = "leased"
    """An agent works on it, until its lease ends."""
    ACKNOWLEDGED = "acknowledged"
    DECLINED = "declined"
    EXPIRED = "expired"
    """Nobody took it in time."""
    DEAD = "dead"
    """It was handed out too often without an answer."""


class CommandCreate(Request):
    """A command for an agent."""

    name: Name
    payload: Payload = None
    expires_in: Duration | None = None
    """Nobody is to begin it later than this."""


class Lease(View):
    """The right to answer a command, until somebody else gets it."""

    id: str
    expires_at: Instant


class Command(View):
    """A command as it stands."""

    id: str
    agent_id: str
    name: str
    payload: JsonValue = None
    state: CommandState
    sequence: int
    """Per agent; commands are handed out in this order, one after the other is answered."""
    created_at: Instant
    expires_at: Instant | None = None
    timer_id: str | None = None
    """The timer that sent it."""
    leases: int
    """How often it was handed out."""
    lease: Lease | None = None
    """For whoever it was handed out to, in that answer alone."""
    progress: JsonValue = None
    """What the agent last told."""
    result: JsonValue = None
    reason: str | None = None
    """Why it was declined, or died."""
    closed_at: Instant | None = None


class Commands(View):
    """Commands that were handed out, in their order."""

    items: tuple[Command, ...]


class Acknowledge(Request):
    """A command is done."""

    lease: LeaseToken
    result: Payload = None


class Extend(Request):
    """A command takes longer: its lease ends ``by`` from now."""

    lease: LeaseToken
    by: Duration = timedelta(seconds=60)

    _bounded = field_validator("by")(_lease_length)


class Progress(Request):
    """How far a command is; it also extends the lease."""

    lease: LeaseToken
    progress: Note
    by: Duration = timedelta(seconds=60)

    _bounded = field_validator("by")(_lease_length)


class Decline(Request):
    """A command is not done."""

    lease: LeaseToken
    reason: Annotated[str, Field(max_length=500)] | None = None
    requeue: bool = False
    """Hand it out again, to whoever asks next, instead of closing it."""
