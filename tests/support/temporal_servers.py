"""A Temporal server of a test's own, that can be away for a while and comes back with what it knew."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from stacks import STARTED_WITHIN, TEMPORAL
from temporalio.client import Client
from temporalio.service import RPCError

from minoots_workflows.search_attributes import REGISTRY


@dataclass
class Server:
    """One server, on a port that stays its own."""

    folder: Path
    port: int
    _process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Have it there; it answers when this returns."""
        arguments = ["--ip", "127.0.0.1", "--port", str(self.port), "--headless", "--log-level", "never"]
        arguments += ["--db-filename", str(self.folder / "temporal.db")]
        for name, kind in REGISTRY:
            arguments += ["--search-attribute", f"{name}={kind}"]
        self._process = await asyncio.create_subprocess_exec(
            TEMPORAL, "server", "start-dev", *arguments, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(STARTED_WITHIN.total_seconds()):
            while not await self._answers():
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """Have it away."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await process.wait()

    async def _answers(self) -> bool:
        try:
            client = await Client.connect(self.address)
            await client.count_workflows()
        except (RPCError, RuntimeError):
            return False
        return True


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[Server]:
    """Yield a server that answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    one = Server(folder, port)
    try:
        await one.start()
        yield one
    finally:
        await one.kill()
