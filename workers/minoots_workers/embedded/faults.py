"""Why the embedded stack cannot start or go on, with the exit code that says so."""

from __future__ import annotations

from typing import Final

CHILD_FAILED: Final = 1
CONFIG: Final = 2
PORT_IN_USE: Final = 3
DATA_DIR_HELD: Final = 4
TEMPORAL_UNREACHABLE: Final = 5


class StackFault(Exception):
    """What is wrong, and what to do about it; ``code`` is the exit code."""

    def __init__(self, code: int, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n  {remedy}")
        self.code = code
