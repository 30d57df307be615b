"""A session over HTTP in which a server takes so many requests and no more.

What a server of MCP asks its client is answered by a request, and a stream that it ends is asked for again:
without a bound, a megabyte of questions kept a worker so busy that it lost all its jobs. Knows no MCP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2

MOST_REQUESTS: Final = 200
"""Requests of one session of an agent."""


class Few(httpx2.AsyncBaseTransport):
    """Passes so many requests on to another transport; then it refuses them, and reads no answer any more."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, most: int = MOST_REQUESTS) -> None:
        self._inner = inner
        self._most = most
        self._sent = 0

    @property
    def spent(self) -> bool:
        """Whether the server has had its requests."""
        return self._sent > self._most

    def require_few(self) -> None:
        """Refuse to go on with a server that keeps its client busy.

        Raises:
            UnsupportedProtocol: it does.
        """
        if self.spent:
            raise httpx2.UnsupportedProtocol(f"a server may not take more than {self._most} requests")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and return its answer, the body unread."""
        self._sent += 1
        self.require_few()
        answer = await self._inner.handle_async_request(request)
        answer.stream = _While(answer.stream, self)
        return answer

    async def aclose(self) -> None:
        """Close what requests are passed on to."""
        await self._inner.aclose()


class _While(httpx2.AsyncByteStream):
    """An answer that is read for as long as its server keeps nobody busy."""

    def __init__(self, inner: Any, few: Few) -> None:
        self._inner = inner
        self._few = few

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            self._few.require_few()
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
