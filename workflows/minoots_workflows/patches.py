"""Every patch that workflow code asks for by ``workflow.patched``: id, since when, and when it may go.

A change in the order of commands needs a row here and a newly recorded history; the replay suite runs both.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Patch(NamedTuple):
    """One change that running workflows must not notice."""

    id: str
    since: str
    why: str


PATCHES: Final[tuple[Patch, ...]] = (
    Patch(
        "sandbox-whole-steps",
        since="0.1.0",
        why="a cancel within the opening or ending of a sandbox waits for the end of that, and calls alone "
        "make it go on in a new history; may go a day after the last worker without: none stands longer",
    ),
)
