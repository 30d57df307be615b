"""What a client with an outbox answers instead of a timer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from minoots.contracts.timers import Timer
from minoots.errors import MinootsError

from .store import Rejected


@dataclass(frozen=True)
class Queued:
    """The timer does **not** exist yet: the request is on disk and is sent by the next create or flush.

    Until then the service knows nothing of it, so it cannot fire; sent too late, it fires at once.
    """

    idempotency_key: str
    name: str
    fire_at: datetime
    """When it will be due: ``after`` is counted from the call, not from the sending."""
    ahead: int
    """Requests in the outbox that are sent before this one."""


@dataclass(frozen=True)
class Flushed:
    """What one flush did."""

    sent: tuple[Timer, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    """Refused for good by the service; they stay readable in ``outbox.rejected()``."""
    left: int = 0
    """Requests that are still queued."""
    stopped: MinootsError | None = None
    """Why it stopped before the end, if it did."""
    busy: bool = False
    """Somebody else is flushing the same file; nothing was done."""
