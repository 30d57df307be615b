"""What strangers say to the client of MCP reaches nobody's log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client, types
from mcp.shared.message import SessionMessage

import minoots_activities.http.guarded  # noqa: F401 - what is tested

SECRET = "what a stranger says"


@asynccontextmanager
async def stranger() -> AsyncIterator[Any]:
    """A server whose notifications are none."""
    said, hear = anyio.create_memory_object_stream[Any](16)
    say, heard = anyio.create_memory_object_stream[Any](16)

    async def tell(**message: Any) -> None:
        whole = types.jsonrpc_message_adapter.validate_python({"jsonrpc": "2.0", **message})
        await said.send(SessionMessage(whole))

    async def serve() -> None:
        async for one in heard:
            method, id = one.message.method, getattr(one.message, "id", None)
            await tell(method="notifications/message", params={"level": SECRET, "data": SECRET})
            await tell(method=SECRET, params={})
            if method == "initialize":
                told = {"capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
                await tell(id=id, result=told | {"protocolVersion": one.message.params["protocolVersion"]})
            elif id is not None:
                await tell(id=id, error={"code": -32601, "message": SECRET})

    serving = asyncio.create_task(serve())
    try:
        yield hear, say
    finally:
        serving.cancel()
        for stream in (said, hear, say, heard):
            stream.close()


async def test_what_a_server_says_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with asyncio.timeout(60), Client(stranger(), cache=None) as client:
            with pytest.raises(Exception, match=SECRET):
                await client.list_tools()
    assert SECRET not in caplog.text
