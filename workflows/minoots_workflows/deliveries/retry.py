"""When to try again. Pure: a policy and what the receiver did in, the next attempt out.

The rules for statuses are those of the Standard Webhooks specification, with those of RFC 9110 for
``Retry-After``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from minoots.contracts import AttemptError, PlannedAttempt, Preview, RetryPolicy
from minoots.contracts.retries import STANDARD_LADDER, Backoff

DEFAULT_BACKOFF_ATTEMPTS: Final = 10

TRANSIENT_STATUSES: Final = frozenset({408, 409, 425, 429})
"""The only 4xx that a later attempt may cure without anybody changing anything."""

SLOW_DOWN_STATUSES: Final = frozenset({429, 503})
SLOW_DOWN_FACTOR: Final = 2

_HOPELESS: Final = frozenset(
    {AttemptError.GONE, AttemptError.DISABLED, AttemptError.BLOCKED, AttemptError.REFUSED}
)


def delays(policy: RetryPolicy) -> tuple[timedelta, ...]:
    """Return the waits between attempts: one fewer than there are attempts."""
    if policy.delays is not None:
        return policy.delays
    if policy.backoff is not None:
        return _growing(policy.backoff, (policy.attempts or DEFAULT_BACKOFF_ATTEMPTS) - 1)
    if policy.attempts is None:
        return STANDARD_LADDER
    # More attempts than the ladder has rungs: the last wait repeats.
    more = max(0, policy.attempts - 1 - len(STANDARD_LADDER))
    return (STANDARD_LADDER + (STANDARD_LADDER[-1],) * more)[: policy.attempts - 1]


def preview(policy: RetryPolicy, fire_at: datetime) -> Preview:
    """Return every attempt that would be made if all of them failed at once and without ``Retry-After``."""
    waits = (timedelta(0), *delays(policy))
    attempts = tuple(
        PlannedAttempt(number=number, at=fire_at + since, delay=wait, since_due=since)
        for number, (wait, since) in enumerate(zip(waits, accumulate(waits), strict=True), start=1)
    )
    return Preview(fire_at=fire_at, attempts=attempts, gives_up_at=attempts[-1].at)


def may_retry(error: AttemptError, status: int | None) -> bool:
    """Tell whether a later attempt may succeed without anybody changing the timer."""
    if error in _HOPELESS:
        return False
    if error is AttemptError.STATUS and status is not None and 400 <= status < 500:
        return status in TRANSIENT_STATUSES
    return True


def next_attempt(
    policy: RetryPolicy,
    *,
    number: int,
    planned_at: datetime,
    finished_at: datetime,
    error: AttemptError,
    status: int | None,
    retry_after: timedelta | None,
) -> datetime | None:
    """Return when to try again after attempt ``number`` failed, or ``None`` to give up.

    Waits count from the plan, not from the answer, so that attempts keep the times that the preview gave; a
    plan that has passed by the time the receiver answered is due at once. ``Retry-After`` only ever puts an
    attempt off.
    """
    waits = delays(policy)
    if number > len(waits) or not may_retry(error, status):
        return None
    wait = waits[number - 1]
    if retry_after is None and status in SLOW_DOWN_STATUSES:
        wait *= SLOW_DOWN_FACTOR
    earliest = finished_at + (retry_after or timedelta(0))
    return max(planned_at + wait, earliest)


def _growing(backoff: Backoff, count: int) -> tuple[timedelta, ...]:
    waits: list[timedelta] = []
    wait = min(backoff.initial, backoff.maximum)
    for _ in range(count):
        waits.append(wait)
        # Compared as numbers first: a wait times a large factor may not fit a timedelta.
        grown = wait.total_seconds() * backoff.factor
        wait = backoff.maximum if grown >= backoff.maximum.total_seconds() else timedelta(seconds=grown)
    return tuple(waits)
