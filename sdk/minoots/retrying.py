"""When a call is tried again, and after how long.

Owns the numbers and the choice. Pure but for the jitter; it neither sleeps nor sends.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 5.0
"""Between two tries of a call when the service names no time: longer than this, the caller should decide."""

LONGEST_RETRY_AFTER: Final = 60.0
"""A longer ``Retry-After`` is not slept through: the error is raised and carries it."""

LONGEST_RECONNECT: Final = 15.0
"""Between two connections of a stream, which goes on for ever."""

_ALWAYS: Final = frozenset({429, 502, 503, 504})


def may_retry(status: int, *, idempotent: bool) -> bool:
    """Return whether the same request may succeed on another try."""
    return status in _ALWAYS or (status == 500 and idempotent)


def wait_before(number: int, *, longest: float = LONGEST_WAIT) -> float:
    """Return the seconds before retry ``number`` (from 1): exponential, with jitter."""
    # Half of it is random: clients that lost the same gateway at the same moment must not come back together.
    ceiling = min(longest, FIRST_WAIT * 2.0 ** min(number - 1, 16))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; ``None`` when it is absent or malformed."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
