"""The gateway's application on a real socket, around real parts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn

from minoots_api.app import create_app
from minoots_api.gateway import Gateway

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: these clients speak plain HTTP, and to load the authorities takes as long as a test."""


@dataclass(frozen=True)
class Door:
    """A gateway that listens, and a client that knocks."""

    gateway: Gateway
    url: str
    http: httpx.AsyncClient


@asynccontextmanager
async def open_door(gateway: Gateway) -> AsyncIterator[Door]:
    """Yield the gateway on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(gateway),
        log_config=None,
        access_log=False,
        server_header=False,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, verify=_NOBODY) as http:
            yield Door(gateway, url, http)
    finally:
        gateway.stopping.set()
        gateway.tailer.stop()
        server.should_exit = True
        await serving
        listener.close()
