"""Finding readers by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from minoots_platform.plugins import broken, plugins

from .reader import Reader

GROUP: Final = "minoots.transcripts"


@cache
def installed() -> Mapping[str, Reader]:
    """Return every reader by its provider.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    found: dict[str, Reader] = {}
    for value, kind in plugins(GROUP, "reader"):
        if not isinstance(kind, type) or not issubclass(kind, Reader):
            raise broken("reader", value, f"expected a class of Reader; got {kind!r}")
        if kind.provider in found:
            raise broken("reader", value, f"there are two readers of {kind.provider}")
        found[kind.provider] = kind()
    return found
