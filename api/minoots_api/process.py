"""A gateway process: builds the parts, serves until told to stop, drains."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

import uvicorn

from minoots_platform.clock import utc_now
from minoots_platform.flags import Flags
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, revision
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, temporal_runtime
from minoots_platform.temporal import connect
from minoots_platform.vault import Vault
from minoots_workflows.handover import Engine

from .app import create_app
from .events.tailer import Tailer
from .gateway import Gateway

_DRAIN_SECONDS: Final = 10


@asynccontextmanager
async def gateway_parts(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Gateway]:
    """Yield the parts of a gateway. Temporal may be away: timers are accepted and armed later."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(
                settings.records.url,
                pool_size=settings.records.pool_size,
                busy_timeout_ms=settings.records.busy_timeout_ms,
            )
        )
        if settings.environment == "dev":
            # In production migrations are a step of the deployment.
            await revision.bring_up(database)
        await revision.wait_until_current(database)
        flags = stack.enter_context(Flags(settings))
        runtime = await stack.enter_async_context(temporal_runtime(telemetry))
        client = await connect(settings.temporal, telemetry, runtime, lazy=True)
        yield Gateway(
            settings=settings,
            database=database,
            handover=HandOver(database, Engine(client)),
            flags=flags,
            telemetry=telemetry,
            vault=Vault([key.get_secret_value() for key in settings.secrets.master_keys]),
            clock=utc_now,
            temporal=client,
            tailer=Tailer(database),
        )


class _Server(uvicorn.Server):
    """Tells the gateway of a stop at once, so that streams and waiting requests end before the drain."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and end with exit code 0; uvicorn itself would die of the signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self._gateway.stopping.set()
        self._gateway.tailer.stop()
        # The second time, running requests are not waited for.
        self.force_exit = self.should_exit
        self.should_exit = True


async def serve(settings: Settings, telemetry: Telemetry, listener: socket.socket) -> None:
    """Serve HTTP on ``listener`` until SIGTERM or SIGINT."""
    async with gateway_parts(settings, telemetry) as gateway:
        config = uvicorn.Config(
            create_app(gateway),
            log_config=None,
            access_log=False,
            server_header=False,
            # The peer is who connected; forwarded headers are claims.
            proxy_headers=False,
            # Messages are small; compressing each for a hundred readers costs more than it saves.
            ws_max_size=256 * 1024,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        await _Server(config, gateway).serve(sockets=[listener])
