"""The gateway's application on a real socket, around real parts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from serving import serving

from minoots_api.app import create_app
from minoots_api.gateway import Gateway
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import api_keys

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
    app = create_app(gateway)
    async with serving(app, patience=2, server_header=False, ws_per_message_deflate=False) as url:
        try:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, verify=_NOBODY) as http:
                yield Door(gateway, url, http)
        finally:
            gateway.stopping.set()
            gateway.tailer.stop()


async def bearer(door: Door, *scopes: Scope, tenant: str = "acme") -> dict[str, str]:
    """Return the header of a new key with these scopes."""
    async with door.gateway.database.write() as connection:
        _, key = await api_keys.create(connection, tenant, "test", scopes, now=utc_now(), expires_at=None)
    return {"authorization": f"Bearer {key}"}
