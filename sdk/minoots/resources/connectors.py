"""``client.connectors``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from minoots.async_engine import AsyncEngine
from minoots.contracts.actions import Action
from minoots.contracts.connectors import Checked, ConnectorInfo
from minoots.engine import Engine
from minoots.operations import connectors


class Connectors:
    """See what actions can be sent through, and whether one could be sent now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Iterator[ConnectorInfo]:
        """Yield the connectors that are installed, with the schema of what each takes."""
        return self._engine.items(connectors.listing())

    def check(self, action: Action | Mapping[str, Any]) -> Checked:
        """Have a worker look whether ``action`` could be sent now; nothing is sent.

        Raises:
            InvalidRequest: for an action that cannot be, naming the field.
            Unavailable: no worker looked in time.
        """
        return self._engine.call(connectors.check(action))


class AsyncConnectors:
    """See what actions can be sent through, and whether one could be sent now."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self) -> AsyncIterator[ConnectorInfo]:
        """Yield the connectors that are installed, with the schema of what each takes."""
        return self._engine.items(connectors.listing())

    async def check(self, action: Action | Mapping[str, Any]) -> Checked:
        """Have a worker look whether ``action`` could be sent now; nothing is sent.

        Raises:
            InvalidRequest: for an action that cannot be, naming the field.
            Unavailable: no worker looked in time.
        """
        return await self._engine.call(connectors.check(action))
