"""Finding writers by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from minoots_platform.plugins import broken, plugins

from .writer import Writer

GROUP: Final = "minoots.writers"


@cache
def installed() -> Mapping[str, Writer]:
    """Return every writer by its format.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    found: dict[str, Writer] = {}
    for value, kind in plugins(GROUP, "writer"):
        if not isinstance(kind, type) or not issubclass(kind, Writer):
            raise broken("writer", value, f"expected a class of Writer; got {kind!r}")
        if kind.format in found:
            raise broken("writer", value, f"there are two writers of {kind.format}")
        found[kind.format] = kind()
    return found
