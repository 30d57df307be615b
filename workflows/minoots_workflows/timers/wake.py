"""How early a timer wakes. Pure: observed latencies in, a lead out.

A workflow that wakes at the due time is late by everything between the server's clock and the worker's hand.
So it wakes early by a lead, and the firing activity waits out the rest next to the effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

MIN_LEAD: Final = timedelta(milliseconds=250)
MAX_LEAD: Final = timedelta(seconds=2)

FORESEEABLE: Final = timedelta(seconds=10)
"""Beyond this the load at the due time cannot be known, so the longest lead is taken."""

_MARGIN: Final = 2.0
_SLACK: Final = timedelta(milliseconds=100)


def lead_from(latencies: Sequence[timedelta]) -> timedelta:
    """Return the lead that covers all but the slowest 1 % of ``latencies`` with a margin."""
    if not latencies:
        return MIN_LEAD
    ordered = sorted(latencies)
    slow = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return min(max(slow * _MARGIN + _SLACK, MIN_LEAD), MAX_LEAD)


def lead_for(remaining: timedelta, observed: timedelta) -> timedelta:
    """Return the lead for a timer that is due in ``remaining``, given the lead that holds at present."""
    if remaining > FORESEEABLE:
        return MAX_LEAD
    return min(max(observed, MIN_LEAD), MAX_LEAD)
