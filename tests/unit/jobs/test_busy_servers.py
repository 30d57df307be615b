"""A server behind a URL that keeps its client busy is let go of, by name, before it keeps a worker busy."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from mcp import Client

from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.servers.endpoints import MOST_REQUESTS, reached
from minoots_activities.sandboxes.tiers import Network
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

EMPTY = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
PING = b'data: {"jsonrpc": "2.0", "id": %d, "method": "ping"}\n\n'
AGAIN = b"id: 1\nretry: 0\ndata: \n\n"
BOUND = 60.0


class Busy:
    """A server that answers `tools/list` with a stream of its own, and counts what it is sent."""

    def __init__(self, stream: list[bytes]) -> None:
        self.stream = stream
        self.heard: Counter[str] = Counter()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            # Whoever asked has had enough.
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        method, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next((int(field[15:]) for field in fields if field.startswith("content-length:")), 0)
        told = json.loads(await reader.readexactly(length) or b"{}")
        name = told.get("method", method.partition(" ")[0])
        self.heard[name] += 1
        if name == "initialize":
            about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
            result = {"protocolVersion": told["params"]["protocolVersion"], **about}
            body = json.dumps({"jsonrpc": "2.0", "id": told["id"], "result": result}).encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return True
        if name not in ("tools/list", "get"):
            writer.write(EMPTY)
            return True
        writer.write(STREAM)
        for piece in self.stream:
            writer.write(piece)
            await writer.drain()
        return False


@asynccontextmanager
async def served(server: Busy) -> AsyncIterator[str]:
    """The place of a server."""
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "stream", [[PING % number for number in range(15_000)], [AGAIN]], ids=["it asks", "it ends"]
)
async def test_a_server_that_keeps_its_client_busy_is_let_go(stream: list[bytes]) -> None:
    server = Busy(stream)
    async with served(server) as place:
        network = Network(most=Rules.parse([place]), policy=AddressPolicy((ip_network("127.0.0.0/8"),)))
        way = reached(f"http://{place}/mcp", [place], network, lambda attempt: None, BOUND, None)
        with pytest.raises((Failure, ExceptionGroup)) as failed:
            async with asyncio.timeout(BOUND), Client(way, cache=None) as client:
                await client.list_tools()
        error: BaseException = failed.value
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, Failure), error
        assert (error.kind, str(MOST_REQUESTS) in error.detail) == (FailureKind.EXHAUSTED, True), error.detail
    assert server.heard.total() <= MOST_REQUESTS, server.heard
