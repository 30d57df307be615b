"""What came of one attempt, whatever it was sent through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from minoots.contracts import AttemptError


@dataclass(frozen=True)
class Result:
    """What came of one attempt."""

    started_at: datetime
    """Just before the request was written; when it never was, when the attempt began."""
    finished_at: datetime
    status: int | None
    error: AttemptError | None
    detail: str | None
    response: str | None
    """The first 2 KiB of an answer; ``None`` without one."""
    retry_after: timedelta | None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.error is None

    @classmethod
    def unsent(cls, now: datetime, error: AttemptError, detail: str) -> Result:
        """Return the result of an attempt that could not even begin."""
        return cls(now, now, None, error, detail, None, None)
