"""``client.dead_letters``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from minoots.async_engine import AsyncEngine
from minoots.contracts.deliveries import DeadLetter, Replay, Replayed
from minoots.engine import Engine
from minoots.operations import dead_letters
from minoots.operations.dead_letters import Filter


class DeadLetters:
    """Read and replay deliveries that were given up."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, filter: Filter | None = None, *, page_size: int | None = None) -> Iterator[DeadLetter]:
        """Yield the dead letters that match ``filter``, page by page."""
        return self._engine.items(dead_letters.listing(filter, page_size))

    def replay(self, dead_letter_id: str) -> Replayed:
        """Send one again, as a new delivery."""
        return self._engine.call(dead_letters.replay(dead_letter_id))

    def replay_all(self, filter: Filter) -> Replay:
        """Send all that match ``filter`` again; ask `replay_status` how far it is."""
        return self._engine.call(dead_letters.replay_all(filter))

    def replay_status(self, replay_id: str) -> Replay:
        """Return how far a replay is."""
        return self._engine.call(dead_letters.replay_status(replay_id))


class AsyncDeadLetters:
    """Read and replay deliveries that were given up."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(
        self, filter: Filter | None = None, *, page_size: int | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Yield the dead letters that match ``filter``, page by page."""
        return self._engine.items(dead_letters.listing(filter, page_size))

    async def replay(self, dead_letter_id: str) -> Replayed:
        """Send one again, as a new delivery."""
        return await self._engine.call(dead_letters.replay(dead_letter_id))

    async def replay_all(self, filter: Filter) -> Replay:
        """Send all that match ``filter`` again; ask `replay_status` how far it is."""
        return await self._engine.call(dead_letters.replay_all(filter))

    async def replay_status(self, replay_id: str) -> Replay:
        """Return how far a replay is."""
        return await self._engine.call(dead_letters.replay_status(replay_id))
