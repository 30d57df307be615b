"""The wall clock, in one place.

Owns what "now" is for everything outside workflows. Pass `Clock` in where a test must choose the time; must
not be imported by workflow code, which asks Temporal.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time, aware, in UTC."""


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)
