"""Exit codes of the ``minoots`` command: one table, shown in ``--help`` and kept by tests."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from minoots.errors import (
    FAILURES,
    APIError,
    ConnectionFailed,
    Denied,
    Failure,
    MinootsError,
    NotFound,
    ServiceBug,
    Throttled,
    Unauthenticated,
    Unavailable,
    WaitTimeout,
)


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    OTHER = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 5
    TIMED_OUT = 6
    NOT_ALLOWED = 7
    ENDED_BADLY = 8
    INTERRUPTED = 130


MEANINGS: Final = {
    Exit.OK: "ok, also when the reader of a pipe went away",
    Exit.OTHER: "a defect, or anything else",
    Exit.USAGE: "wrong usage",
    Exit.NOT_FOUND: "not found",
    Exit.REFUSED: "refused: invalid, conflict, stale, too large or quota",
    Exit.UNAVAILABLE: "no connection, or not available",
    Exit.TIMED_OUT: "timed out",
    Exit.NOT_ALLOWED: "not allowed",
    Exit.ENDED_BADLY: "the timer that was waited for failed or was cancelled",
    Exit.INTERRUPTED: "interrupted",
}

EPILOG: Final = (
    "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."
)


def exit_code(error: MinootsError) -> Exit:
    """Return the exit code for ``error``."""
    kind = FAILURES[error.kind].error if isinstance(error, Failure) else type(error)
    if issubclass(kind, NotFound):
        return Exit.NOT_FOUND
    if issubclass(kind, Unauthenticated | Denied):
        return Exit.NOT_ALLOWED
    if issubclass(kind, ConnectionFailed | Unavailable | Throttled):
        return Exit.UNAVAILABLE
    if issubclass(kind, WaitTimeout):
        return Exit.TIMED_OUT
    if issubclass(kind, APIError) and not issubclass(kind, ServiceBug):
        return Exit.REFUSED
    return Exit.OTHER
