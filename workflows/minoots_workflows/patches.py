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


PATCHES: Final[tuple[Patch, ...]] = ()
