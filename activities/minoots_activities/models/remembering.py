"""What a process remembers by names that strangers choose: never more than so many."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final, TypeVar

MOST: Final = 1000
"""More than any set of models has; a tenant can invent as many names as it likes."""

K = TypeVar("K")
V = TypeVar("V")


def remember(known: MutableMapping[K, V], key: K, value: V) -> None:
    """Keep a value as the newest, and forget the oldest where there are too many."""
    known.pop(key, None)
    known[key] = value
    while len(known) > MOST:
        del known[next(iter(known))]
