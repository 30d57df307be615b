"""``client.destinations``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.destinations import Destination
from minoots.engine import Engine
from minoots.operations import destinations
from minoots.operations.destinations import Settings


class Destinations:
    """Read destinations, say how fast deliveries may go there, open and close their circuits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Iterator[Destination]:
        """Yield the destinations that have settings, or had trouble."""
        return self._engine.items(destinations.listing())

    def get(self, destination_id: str) -> Destination:
        """Return one as it stands."""
        return self._engine.call(destinations.read(destination_id))

    def save(self, **fields: Unpack[Settings]) -> Destination:
        """Say how fast deliveries may go to ``url``, and when its circuit opens.

        Raises:
            InvalidRequest: for a field that is not valid, naming it.
        """
        return self._engine.call(destinations.save(fields))

    def remove(self, destination_id: str) -> None:
        """Forget its limits and its circuit; what waits for them goes."""
        self._engine.call(destinations.remove(destination_id))

    def open(self, destination_id: str, *, reason: str | None = None) -> Destination:
        """Open the circuit: deliveries wait until it is closed."""
        return self._engine.call(destinations.open_circuit(destination_id, reason))

    def close(self, destination_id: str) -> Destination:
        """Close the circuit: deliveries go there again, also to one that was gone or disabled."""
        return self._engine.call(destinations.close_circuit(destination_id))


class AsyncDestinations:
    """Read destinations, say how fast deliveries may go there, open and close their circuits."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self) -> AsyncIterator[Destination]:
        """Yield the destinations that have settings, or had trouble."""
        return self._engine.items(destinations.listing())

    async def get(self, destination_id: str) -> Destination:
        """Return one as it stands."""
        return await self._engine.call(destinations.read(destination_id))

    async def save(self, **fields: Unpack[Settings]) -> Destination:
        """Say how fast deliveries may go to ``url``, and when its circuit opens.

        Raises:
            InvalidRequest: for a field that is not valid, naming it.
        """
        return await self._engine.call(destinations.save(fields))

    async def remove(self, destination_id: str) -> None:
        """Forget its limits and its circuit; what waits for them goes."""
        await self._engine.call(destinations.remove(destination_id))

    async def open(self, destination_id: str, *, reason: str | None = None) -> Destination:
        """Open the circuit: deliveries wait until it is closed."""
        return await self._engine.call(destinations.open_circuit(destination_id, reason))

    async def close(self, destination_id: str) -> Destination:
        """Close the circuit: deliveries go there again, also to one that was gone or disabled."""
        return await self._engine.call(destinations.close_circuit(destination_id))
