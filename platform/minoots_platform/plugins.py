"""What other packages bring, by their entry points; one that is broken is told by name, never left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from minoots.errors import Failure, FailureKind

T = TypeVar("T")


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


def classes(group: str, noun: str, base: type[T], name: Callable[[type[T]], str]) -> Mapping[str, T]:
    """Return one object of each class that the entry points of a group name, by its own name.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is no such class, and for two of one
            name.
    """
    found: dict[str, T] = {}
    for value, kind in plugins(group, noun):
        if not isinstance(kind, type) or not issubclass(kind, base):
            raise broken(noun, value, f"expected a class of {base.__name__}; got {kind!r}")
        if name(kind) in found:
            raise broken(noun, value, f"there are two {noun}s of {name(kind)}")
        found[name(kind)] = kind()
    return found


def broken(noun: str, value: str, why: str) -> Failure:
    """Return the failure of an entry point that is not what its group expects."""
    return Failure(
        FailureKind.UNAVAILABLE,
        f"the {noun} {value} is broken: {why}",
        remedy="Correct or uninstall the package that brings it.",
    )
