"""The port of a store: a place in which a program keeps many sessions, such as a database.

A session in it is read as a whole whenever its mark is another: what was known is known by its ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .identity import HOLDABLE, Identity

Open = Callable[[Path], BinaryIO]
"""Opens a file that may be read; `ReadRoots.open`."""


@dataclass(frozen=True)
class Listed:
    """A session in a store."""

    identity: Identity
    mark: str
    """Another one whenever anything in it is."""


def known(store: Store) -> Iterator[Listed]:
    """Yield the sessions of a store; those whose ids nothing can hold are passed over."""
    for one in store.listed():
        of_it = (one.identity.session_id, one.identity.parent_id, one.identity.agent_id)
        if all(name is None or HOLDABLE.fullmatch(name) for name in of_it):
            yield one


class Store(ABC):
    """Sessions in one place."""

    @abstractmethod
    def listed(self) -> Iterator[Listed]:
        """Yield every session.

        Raises:
            Damaged: it cannot be read as what it should be.
            OSError: it is gone, or may not be read.
        """

    @abstractmethod
    def records(self, session_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield the records of a session, in their order; raises what `listed` raises."""
