"""A URL that answers with a status is told with it: the client has the same few words for all of them."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from mcp import Client

from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.servers.endpoints import first_of, reached
from minoots_activities.sandboxes.tiers import Network
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

BOUND = 60.0


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("401 Unauthorized", "jobs.mcp_tokens"),
        ("403 Forbidden", "jobs.mcp_tokens"),
        ("404 Not Found", "the endpoint of the server"),
        ("501 Unsupported method", "the endpoint of the server"),
    ],
)
async def test_the_status_is_told_and_what_to_do_about_it(status: str, remedy: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        # All of it is read: what is closed with something unread takes its answer with it.
        lengths = [int(field.partition(":")[2]) for field in head if field.startswith("content-length:")]
        await reader.readexactly(sum(lengths))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        place = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        network = Network(most=Rules.parse([place]), policy=AddressPolicy((ip_network("127.0.0.0/8"),)))
        way = reached(f"http://{place}/mcp", [place], network, lambda attempt: None, BOUND, None)
        with pytest.raises((Failure, ExceptionGroup)) as failed:
            async with asyncio.timeout(BOUND), Client(way, cache=None) as client:
                await client.list_tools()
    error = first_of(failed.value)
    assert isinstance(error, Failure), error
    assert error.kind is FailureKind.UNAVAILABLE
    assert f"the MCP server at {place} answered with the status {status[:3]}: " in error.detail
    assert remedy in (error.remedy or "")
