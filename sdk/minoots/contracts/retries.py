"""When a failed delivery is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from .base import Duration, Instant, Part, View

MAX_ATTEMPTS: Final = 50

STANDARD_LADDER: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Waits between attempts: the example schedule of the Standard Webhooks specification, ten in 75.6 hours."""


class Backoff(Part):
    """Waits that grow: ``initial``, then ``factor`` times the wait before, never above ``maximum``."""

    initial: Duration = timedelta(seconds=5)
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    maximum: Duration = timedelta(hours=24)


class RetryPolicy(Part):
    """How often and when to try: an explicit list of ``delays``, or ``attempts`` with a ``backoff``.

    Without any field it is `STANDARD_LADDER`; ``attempts`` alone takes that many attempts of the ladder.
    """

    attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    backoff: Backoff | None = None
    delays: Annotated[tuple[Duration, ...], Field(max_length=MAX_ATTEMPTS - 1)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.delays is not None and (self.attempts is not None or self.backoff is not None):
            raise ValueError(
                "give either delays or attempts with backoff, not both: a list of delays says how many"
            )
        return self


class PlannedAttempt(View):
    """One attempt that a policy would make."""

    number: int
    at: Instant
    delay: Duration
    """The wait after the attempt before."""
    since_due: Duration
