"""``client.sandboxes``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.standing import Sandbox, SandboxFiles, SandboxSnapshot, SandboxWritten
from minoots.engine import Engine
from minoots.operations import sandboxes
from minoots.operations.sandboxes import NewSandbox, SandboxFilter
from minoots.sandbox_opening import until_open


class Sandboxes:
    """Open sandboxes that stand, use their files, close them. Programs in them are jobs: ``client.jobs``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, *, wait: float | None = 60, **fields: Unpack[NewSandbox]) -> Sandbox:
        """Open a sandbox, and return it once it stands.

        Args:
            wait: seconds to wait until it does; ``None`` returns it as it is, ``opening``.
            fields: what it is to be; see `minoots.operations.sandboxes.NewSandbox`.

        Raises:
            WaitTimeout: it does not stand by then; it is told to close.
            Unavailable: it failed to open; the text says why.
        """
        made = self._engine.call(sandboxes.create(fields))
        if wait is None:
            return made
        return self._engine.run(until_open(self._engine.connection, made, wait))

    def get(self, sandbox_id: str) -> Sandbox:
        """Return a sandbox as it stands."""
        return self._engine.call(sandboxes.read(sandbox_id))

    def list(self, **filter: Unpack[SandboxFilter]) -> Iterator[Sandbox]:
        """Yield sandboxes that match ``state`` and ``label``, the newest first."""
        return self._engine.items(sandboxes.listing(filter))

    def close(self, sandbox_id: str, *, wait: int | None = 30) -> Sandbox:
        """Close a sandbox and all that runs in it; return it once it has ended, or ``wait`` seconds later."""
        return self._engine.call(sandboxes.close(sandbox_id, wait))

    def suspend(self, sandbox_id: str) -> Sandbox:
        """Have whatever runs in it stand still."""
        return self._engine.call(sandboxes.suspend(sandbox_id))

    def resume(self, sandbox_id: str) -> Sandbox:
        """Let it go on."""
        return self._engine.call(sandboxes.resume(sandbox_id))

    def snapshot(self, sandbox_id: str) -> SandboxSnapshot:
        """Keep its files; another may begin with them: ``open(from_snapshot=snapshot.sha256)``."""
        return self._engine.call(sandboxes.snapshot(sandbox_id))

    def files(self, sandbox_id: str, *, most: int = 1000) -> SandboxFiles:
        """Return its files, by path."""
        return self._engine.call(sandboxes.files(sandbox_id, most))

    def read(self, sandbox_id: str, path: str) -> bytes:
        """Return a file of it."""
        return self._engine.call(sandboxes.download(sandbox_id, path)).data

    def write(
        self, sandbox_id: str, path: str, data: bytes | str, *, executable: bool = False
    ) -> SandboxWritten:
        """Write a file of it, over the one that is there."""
        data = data.encode() if isinstance(data, str) else data
        return self._engine.call(sandboxes.write(sandbox_id, path, data, executable))


class AsyncSandboxes:
    """Open sandboxes that stand, use their files, close them. Programs in them are jobs: ``client.jobs``."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self, *, wait: float | None = 60, **fields: Unpack[NewSandbox]) -> Sandbox:
        """Open a sandbox, and return it once it stands.

        Args:
            wait: seconds to wait until it does; ``None`` returns it as it is, ``opening``.
            fields: what it is to be; see `minoots.operations.sandboxes.NewSandbox`.

        Raises:
            WaitTimeout: it does not stand by then; it is told to close.
            Unavailable: it failed to open; the text says why.
        """
        made = await self._engine.call(sandboxes.create(fields))
        if wait is None:
            return made
        return await self._engine.run(until_open(self._engine.connection, made, wait))

    async def get(self, sandbox_id: str) -> Sandbox:
        """Return a sandbox as it stands."""
        return await self._engine.call(sandboxes.read(sandbox_id))

    def list(self, **filter: Unpack[SandboxFilter]) -> AsyncIterator[Sandbox]:
        """Yield sandboxes that match ``state`` and ``label``, the newest first."""
        return self._engine.items(sandboxes.listing(filter))

    async def close(self, sandbox_id: str, *, wait: int | None = 30) -> Sandbox:
        """Close a sandbox and all that runs in it; return it once it has ended, or ``wait`` seconds later."""
        return await self._engine.call(sandboxes.close(sandbox_id, wait))

    async def suspend(self, sandbox_id: str) -> Sandbox:
        """Have whatever runs in it stand still."""
        return await self._engine.call(sandboxes.suspend(sandbox_id))

    async def resume(self, sandbox_id: str) -> Sandbox:
        """Let it go on."""
        return await self._engine.call(sandboxes.resume(sandbox_id))

    async def snapshot(self, sandbox_id: str) -> SandboxSnapshot:
        """Keep its files; another may begin with them: ``open(from_snapshot=snapshot.sha256)``."""
        return await self._engine.call(sandboxes.snapshot(sandbox_id))

    async def files(self, sandbox_id: str, *, most: int = 1000) -> SandboxFiles:
        """Return its files, by path."""
        return await self._engine.call(sandboxes.files(sandbox_id, most))

    async def read(self, sandbox_id: str, path: str) -> bytes:
        """Return a file of it."""
        return (await self._engine.call(sandboxes.download(sandbox_id, path))).data

    async def write(
        self, sandbox_id: str, path: str, data: bytes | str, *, executable: bool = False
    ) -> SandboxWritten:
        """Write a file of it, over the one that is there."""
        data = data.encode() if isinstance(data, str) else data
        return await self._engine.call(sandboxes.write(sandbox_id, path, data, executable))
