"""The guarded transport for httpx2, the library that the official client of MCP speaks through.

Owns the passage between the two libraries. What is allowed is the inner transport's to judge; answers that
are packed are refused. What that client would log of strangers' words is not logged.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2

# What a server has answered, with a traceback for each message that is none: as many as it likes. What
# matters of it is told to whoever asked. Its sessions log as `client`.
for _name in ("mcp", "client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Guarded(httpx2.AsyncBaseTransport):
    """The guarded transport of webhooks, for the library that MCP speaks through."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and return its answer, the body unread."""
        wanted = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=await request.aread(),
            extensions={"timeout": request.extensions.get("timeout", {})},
        )
        with _same_errors():
            answer = await self._inner.handle_async_request(wanted)
            if answer.headers.get("content-encoding", "identity") != "identity":
                # What a few bytes unpack to has no bound, and it was not asked for.
                await answer.aclose()
                raise httpx.RemoteProtocolError("the answer is compressed")
        return httpx2.Response(
            answer.status_code, headers=answer.headers.raw, stream=_Stream(answer), request=request
        )


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _same_errors():
            async for chunk in self._answer.aiter_raw():
                yield chunk

    async def aclose(self) -> None:
        with _same_errors():
            await self._answer.aclose()


@contextmanager
def _same_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        twin: Any = getattr(httpx2, type(error).__name__, httpx2.ConnectError)
        raise twin(str(error)) from error
