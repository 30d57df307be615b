"""What crosses Temporal on behalf of a sandbox that stands: where it is and what is next, never a word of it.

Paths, files and what went wrong are contents that are named by their hash.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from minoots_workflows.contract import Contract


class SandboxNeeds(StrEnum):
    """What is next for a sandbox."""

    NOTHING = "nothing"
    """It has ended."""
    OPENING = "opening"
    HOLDING = "holding"
    CLOSING = "closing"


class Happened(StrEnum):
    """What has become of a sandbox, as its workflow sees it."""

    NOTHING = ""
    LOST = "lost"
    """Nothing of it is left, or nobody is there who could tell."""
    CLOSED = "closed"
    """It was ended, as it was to be."""
    CANCELLED = "cancelled"
    """It was ended, for its workflow was cancelled in Temporal."""


class SandboxSeen(Contract):
    """Input of ``sandboxes.next``: what has happened to a sandbox since it was looked at."""

    tenant: str
    sandbox_id: str
    happened: Happened = Happened.NOTHING
    epoch: int = 0
    """Of which opening that is said."""


class SandboxLook(Contract):
    """Answer of ``sandboxes.next``, and of the query ``state``: how a sandbox stands, and what is next."""

    state: str = "opening"
    needs: SandboxNeeds = SandboxNeeds.OPENING
    epoch: int = 0
    queue: str = ""
    """The task queue of the worker that holds it."""
    wake_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.needs is SandboxNeeds.NOTHING


class SandboxHeld(Contract):
    """Input of what concerns one opening of a sandbox."""

    tenant: str
    sandbox_id: str
    epoch: int


class SandboxWatched(Contract):
    """Answer of ``sandboxes.hold``: the sandbox is gone."""

    why: str = ""
    """``ended``, ``stopping`` or ``unknown``."""


class SandboxDoes(StrEnum):
    """What may be asked of a sandbox that stands."""

    PUT = "put"
    GET = "get"
    LIST = "list"
    SNAPSHOT = "snapshot"
    SUSPEND = "suspend"
    RESUME = "resume"


class SandboxCall(Contract):
    """Update ``call``, and input of ``sandboxes.call``: something is asked of a sandbox that stands."""

    tenant: str
    sandbox_id: str
    does: SandboxDoes
    about: str = ""
    """The hash of what more there is to say."""
    epoch: int = 0


class SandboxAnswer(Contract):
    """What a sandbox has answered."""

    content: str = ""
    """The hash of the answer, or of what went wrong."""
