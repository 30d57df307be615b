"""``client.outbox``."""

from __future__ import annotations

import asyncio

from minoots.async_engine import AsyncEngine
from minoots.engine import Engine
from minoots.outbox import Entry, Flushed, Outbox, Rejected, sending


class OutboxResource:
    """Send and read what waits on this machine."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    def flush(self) -> Flushed:
        """Send what is queued, in order, each once; stop at the first failure of the connection."""
        return self._engine.run(sending.flush(self._engine.connection, self._outbox))

    def queued(self) -> tuple[Entry, ...]:
        """Return what waits, in order."""
        return self._outbox.queued()

    def rejected(self) -> tuple[Rejected, ...]:
        """Return what the service refused for good, with its reasons."""
        return self._outbox.rejected()

    def forget_rejected(self) -> int:
        """Drop the rejected requests and return how many they were."""
        return self._outbox.forget_rejected()


class AsyncOutboxResource:
    """Send and read what waits on this machine."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    async def flush(self) -> Flushed:
        """Send what is queued, in order, each once; stop at the first failure of the connection."""
        return await self._engine.run(sending.flush(self._engine.connection, self._outbox))

    async def queued(self) -> tuple[Entry, ...]:
        """Return what waits, in order."""
        return await asyncio.to_thread(self._outbox.queued)

    async def rejected(self) -> tuple[Rejected, ...]:
        """Return what the service refused for good, with its reasons."""
        return await asyncio.to_thread(self._outbox.rejected)

    async def forget_rejected(self) -> int:
        """Drop the rejected requests and return how many they were."""
        return await asyncio.to_thread(self._outbox.forget_rejected)
