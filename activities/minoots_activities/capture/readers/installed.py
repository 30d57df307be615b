"""Finding readers by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from minoots_platform.plugins import classes

from .reader import Reader

GROUP: Final = "minoots.transcripts"


@cache
def installed() -> Mapping[str, Reader]:
    """Return every reader by its provider.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    return classes(GROUP, "reader", Reader, lambda kind: kind.provider)  # type: ignore[type-abstract]  # a port
