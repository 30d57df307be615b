"""Sandboxes that stand, on the wire: opened once, used for a while, gone for certain.

Programs in them are jobs of the kind ``exec`` that name the sandbox; what is here is the sandbox itself and
its files. What is large is kept by the SHA-256 of its bytes.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from .base import Duration, Instant, Labels, Name, Request, View
from .jobs import JobProblem
from .models import ContentHash
from .sandboxes import MAX_TIME, ImageReference, Limits, NetworkHost, RunTime, Tier

MAX_LISTED: Final = 10_000
"""Files of a sandbox that one listing has."""
MIN_IDLE: Final = timedelta(seconds=1)


class SandboxState(StrEnum):
    """Where a sandbox stands. ``closed``, ``lost`` and ``failed`` are final: nothing of it is left then."""

    OPENING = "opening"
    """It is kept, and waits for a worker that has room."""
    OPEN = "open"
    SUSPENDED = "suspended"
    """Whatever runs in it stands still until it is resumed."""
    CLOSED = "closed"
    """By somebody, for it was idle, or at the end of its lifetime; ``reason`` says which."""
    LOST = "lost"
    """Its worker died, or it did; what was in it is gone."""
    FAILED = "failed"
    """It never opened; ``problem`` says why."""

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in (SandboxState.CLOSED, SandboxState.LOST, SandboxState.FAILED)


class CloseReason(StrEnum):
    """Why a sandbox was closed."""

    REQUESTED = "requested"
    IDLE = "idle"
    """Nobody had used it for its ``idle_timeout``, and no program ran."""
    LIFETIME = "lifetime"
    OPERATOR = "operator"
    """Somebody cancelled its workflow in Temporal."""


def _idle(value: timedelta) -> timedelta:
    if not MIN_IDLE <= value <= MAX_TIME:
        raise ValueError("expected a time from 1s to 24h")
    return value


IdleTime = Annotated[Duration, AfterValidator(_idle)]
"""How long a sandbox may stand unused."""


class SandboxCreate(Request):
    """Open a sandbox that stands until it is closed, idle for too long, or too old."""

    name: Name | None = None
    """For people; default: its tier."""
    tier: Tier = Tier.BUBBLEWRAP
    image: ImageReference | None = None
    """Its root file system in the tier ``container``; default: the first that the operator allows."""
    limits: Limits = Field(default_factory=Limits)
    """``time`` and ``output_kb`` are those of one program, unless its job says less time."""
    network: Annotated[tuple[NetworkHost, ...], Field(max_length=64)] = ()
    """Hosts that its programs may reach; as of jobs."""
    idle_timeout: IdleTime | None = None
    """It is closed when nobody has used it for so long; default: as the setting says."""
    lifetime: RunTime | None = None
    """It is closed after so long, whatever runs; default: as the setting says."""
    from_snapshot: ContentHash | None = None
    """It begins with these files: a snapshot of another."""
    keep: bool = False
    """When its worker goes, it begins again from its last snapshot; one that is stopped takes one first."""
    labels: Labels = Field(default_factory=dict)


class Sandbox(View):
    """A sandbox as it stands."""

    id: str
    name: str
    state: SandboxState
    tier: Tier
    image: str | None = None
    limits: Limits
    network: tuple[str, ...] = ()
    labels: dict[str, str]
    idle_timeout: Duration
    lifetime: Duration
    keep: bool
    from_snapshot: ContentHash | None = None
    snapshot: ContentHash | None = None
    """The last one that was taken of it."""
    opened: int
    """How often it was opened; above 1 where it began again."""
    held_by: dict[str, str] = Field(default_factory=dict)
    """What holds each limit on its machine."""
    programs: int = 0
    """Jobs in it that have not ended."""
    close_requested: bool = False
    reason: CloseReason | None = None
    """Of one that is closed, or about to be: why."""
    problem: JobProblem | None = None
    """Why it did not open, has not opened yet, or was lost."""
    created_at: Instant
    created_by: str
    opened_at: Instant | None = None
    used_at: Instant | None = None
    """When somebody used it last."""
    expires_at: Instant
    """The end of its lifetime."""
    ended_at: Instant | None = None


class SandboxFile(View):
    """A file in a sandbox."""

    path: str
    bytes: int
    executable: bool = False


class SandboxFiles(View):
    """Files of a sandbox, by path. Links are none."""

    items: tuple[SandboxFile, ...]
    cut: bool
    """Whether there are more than were asked for."""


class SandboxSnapshot(View):
    """What was in the working folder of a sandbox, as a tar archive that is kept by its hash."""

    sha256: ContentHash
    bytes: int


class SandboxWritten(View):
    """A file that was put into a sandbox."""

    path: str
    bytes: int
    sha256: ContentHash
