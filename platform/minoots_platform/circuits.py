"""When the circuit of a destination opens, and for how long. Pure: no clock, no rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from minoots.contracts import AttemptError, CircuitPolicy

LONGEST: Final = timedelta(minutes=30)
"""However often it opened: an hour of outage must not be followed by hours of silence."""

_NO_ANSWER: Final = frozenset(
    {AttemptError.DNS, AttemptError.CONNECT, AttemptError.TLS, AttemptError.TIMEOUT, AttemptError.PROTOCOL}
)
_OURS: Final = frozenset(
    {AttemptError.SECRET, AttemptError.REFUSED, AttemptError.BLOCKED, AttemptError.ABSENT}
)
_BUSY: Final = frozenset({408, 425, 429})


def unwell(error: AttemptError | None, status: int | None) -> bool:
    """Tell whether an attempt shows that the receiver is not well, rather than that it disliked the message.

    A missing secret or a forbidden address is our own; a 400 is about one message.
    """
    if error is AttemptError.STATUS and status is not None:
        return status >= 500 or status in _BUSY
    return error in _NO_ANSWER


def silent(error: AttemptError | None) -> bool:
    """Tell whether an attempt says nothing of the receiver, because nothing was sent."""
    return error in _OURS


def trips(policy: CircuitPolicy, attempts: int, failed: int) -> bool:
    """Tell whether ``failed`` of ``attempts`` in the window open the circuit."""
    return policy.enabled and attempts >= policy.minimum and failed >= policy.failure_rate * attempts


def open_for(policy: CircuitPolicy, trips: int, longest: timedelta = LONGEST) -> timedelta:
    """Return for how long it is open after the ``trips``-th opening in a row, from 1: ``longest`` at most."""
    # The exponent is bounded: two to the power of a thousand does not fit into a timedelta.
    return min(policy.open_for * (1 << min(trips - 1, 20)), longest)
