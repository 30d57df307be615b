"""``client.destinations``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from minoots.async_engine import AsyncEngine
from minoots.contracts.deliveries import Destination
from minoots.engine import Engine
from minoots.operations import destinations


class Destinations:
    """Read and reopen receivers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Iterator[Destination]:
        """Yield the receivers that Minoots has an opinion on."""
        return self._engine.items(destinations.listing())

    def reopen(self, destination_id: str) -> Destination:
        """Send to a receiver again that had answered 410."""
        return self._engine.call(destinations.reopen(destination_id))


class AsyncDestinations:
    """Read and reopen receivers."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self) -> AsyncIterator[Destination]:
        """Yield the receivers that Minoots has an opinion on."""
        return self._engine.items(destinations.listing())

    async def reopen(self, destination_id: str) -> Destination:
        """Send to a receiver again that had answered 410."""
        return await self._engine.call(destinations.reopen(destination_id))
