"""What other packages bring, by their entry points; one that is broken is told by name, never left out."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from minoots.errors import Failure, FailureKind


def plugins(group: str, noun: str) -> Iterator[tuple[str, Any]]:
    """Yield each entry point of a group: what it says, and what it names.

    Raises:
        Failure: unavailable, for one that cannot be loaded.
    """
    for point in entry_points(group=group):
        try:
            found = point.load()
        except Exception as error:
            raise broken(
                noun, point.value, f"it cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        yield point.value, found


def broken(noun: str, value: str, why: str) -> Failure:
    """Return the failure of an entry point that is not what its group expects."""
    return Failure(
        FailureKind.UNAVAILABLE,
        f"the {noun} {value} is broken: {why}",
        remedy="Correct or uninstall the package that brings it.",
    )
