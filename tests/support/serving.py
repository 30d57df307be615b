"""Applications on real sockets: started, and ended without waiting for the next look of the clock.

uvicorn looks ten times a second whether it should end, and waits for another tenth of a second for
connections that may not be there. Thousands of tests, each with a server or two, spend minutes on it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


class Server(uvicorn.Server):
    """A server of tests, which ends when it is told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def end(self) -> None:
        """Have it end; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Serve until it is told to end."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as uvicorn does, but look more often whether all have gone."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(0.002)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


@asynccontextmanager
async def serving(
    app: Any, listener: socket.socket | None = None, *, patience: int = 1, **config: Any
) -> AsyncIterator[str]:
    """Yield the address of ``app`` on ``listener``, or on a free port of loopback.

    Requests that still run when it ends are cancelled after ``patience`` seconds.
    """
    listener = listener or socket.create_server(("127.0.0.1", 0))
    wanted = {
        "log_config": None,
        "log_level": "critical",
        "access_log": False,
        "timeout_graceful_shutdown": patience,
    }
    server = Server(uvicorn.Config(app, **wanted | config))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            assert not task.done(), "it never came up"
            await asyncio.sleep(0.001)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.end()
        await task
        listener.close()
