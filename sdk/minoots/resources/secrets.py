"""``client.secrets``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from minoots.async_engine import AsyncEngine
from minoots.contracts.secrets import Secret, SecretCreated
from minoots.engine import Engine
from minoots.operations import secrets
from minoots.operations.timers import Length


class Secrets:
    """Make and rotate the secrets that sign webhooks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str) -> SecretCreated:
        """Make a secret; its ``key`` is shown this once."""
        return self._engine.call(secrets.create(name))

    def list(self) -> Iterator[Secret]:
        """Yield all secrets, without their keys."""
        return self._engine.items(secrets.listing())

    def get(self, name: str) -> Secret:
        """Return a secret, without its key."""
        return self._engine.call(secrets.read(name))

    def rotate(self, name: str, *, overlap: Length | None = None) -> SecretCreated:
        """Make a new version; the old one signs too for ``overlap`` (a day if not given)."""
        return self._engine.call(secrets.rotate(name, overlap))


class AsyncSecrets:
    """Make and rotate the secrets that sign webhooks."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, name: str) -> SecretCreated:
        """Make a secret; its ``key`` is shown this once."""
        return await self._engine.call(secrets.create(name))

    def list(self) -> AsyncIterator[Secret]:
        """Yield all secrets, without their keys."""
        return self._engine.items(secrets.listing())

    async def get(self, name: str) -> Secret:
        """Return a secret, without its key."""
        return await self._engine.call(secrets.read(name))

    async def rotate(self, name: str, *, overlap: Length | None = None) -> SecretCreated:
        """Make a new version; the old one signs too for ``overlap`` (a day if not given)."""
        return await self._engine.call(secrets.rotate(name, overlap))
