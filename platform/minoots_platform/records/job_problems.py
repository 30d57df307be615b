"""Why jobs fail, in words that say what to do about it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from minoots.contracts import JobProblem
from minoots.errors import Failure, FailureKind


def problem_of(failure: Failure, outcome: Literal["never_started", "unknown"] | None = None) -> JobProblem:
    """Return why a job failed; ``outcome`` says what is known of its program."""
    return JobProblem(kind=failure.kind, detail=failure.detail, remedy=failure.remedy, outcome=outcome)


def too_late(deadline: datetime) -> JobProblem:
    """Return why a job failed that has not ended in time."""
    return JobProblem(
        kind=FailureKind.EXHAUSTED,
        detail=f"it had not ended by its deadline, {deadline.isoformat(timespec='seconds')}",
        remedy="Give it a later deadline; see whether a worker serves its queue.",
    )


def too_often(times: int) -> JobProblem:
    """Return why a job failed that was begun so many times."""
    return JobProblem(
        kind=FailureKind.EXHAUSTED,
        detail=f"it was begun {times} times, and each time its worker died or failed",
        remedy="Look into the workers' logs before you submit it again; jobs.max_attempts limits this.",
    )
