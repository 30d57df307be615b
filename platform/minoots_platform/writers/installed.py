"""Finding writers by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from minoots_platform.plugins import classes

from .writer import Writer

GROUP: Final = "minoots.writers"


@cache
def installed() -> Mapping[str, Writer]:
    """Return every writer by its format.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    return classes(GROUP, "writer", Writer, lambda kind: kind.format)  # type: ignore[type-abstract]  # a port
