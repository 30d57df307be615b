"""Finding readers by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Final

from minoots.errors import Failure, FailureKind

from .reader import Reader

GROUP: Final = "minoots.transcripts"


@cache
def installed() -> Mapping[str, Reader]:
    """Return every reader by its provider.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    found: dict[str, Reader] = {}
    for point in entry_points(group=GROUP):
        try:
            kind = point.load()
        except Exception as error:
            raise _broken(point.value, f"it cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(kind, type) or not issubclass(kind, Reader):
            raise _broken(point.value, f"expected a class of Reader; got {kind!r}")
        if kind.provider in found:
            raise _broken(point.value, f"there are two readers of {kind.provider}")
        found[kind.provider] = kind()
    return found


def _broken(value: str, why: str) -> Failure:
    return Failure(
        FailureKind.UNAVAILABLE,
        f"the reader {value} is broken: {why}",
        remedy="Correct or uninstall the package that brings it.",
    )
