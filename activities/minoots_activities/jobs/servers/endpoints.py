"""A server behind a URL: the official client speaks to it through the walls that jobs have around them.

Owns which requests go out: to the one host of the URL, which is judged and written down before the first of
them, at addresses that may be, and with answers that have an end and do not say the server's token back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Heard
from minoots_activities.http.guarded import Guarded
from minoots_activities.http.transport import GuardedTransport
from minoots_activities.jobs.agents.fetching import place_of, require_reachable
from minoots_activities.sandboxes.tiers import Network
from minoots_platform.telemetry.redaction import REDACTED

MOST_ANSWER: Final = 1024 * 1024
"""Bytes of one answer: lists of tools are long."""
MOST_REQUESTS: Final = 200
"""Requests of one session. What a server asks is answered by one, and a stream that ends is asked for again:
of a megabyte of questions a worker was so busy that it lost all its jobs."""
_WORDS: Final = 500
_WANTS_A_TOKEN: Final = frozenset({401, 403})


@asynccontextmanager
async def reached(
    url: str, hosts: Sequence[str], network: Network, heard: Heard, seconds: float, token: str | None
) -> AsyncIterator[Any]:
    """Yield what the client speaks through to a server behind a URL.

    Args:
        url: its endpoint.
        hosts: what the job may reach of the network.
        network: what jobs may have of it here.
        heard: who writes an attempt down before it is made.
        seconds: how long one request may take.
        token: what is shown to it; never told on.

    Raises:
        Failure: it may not be reached; exhausted, when it keeps its client busy.
    """
    await require_reachable(network, hosts, *place_of(url), heard)
    transport = GuardedTransport(network.policy, resolver=network.resolver, most_bytes=MOST_ANSWER)
    headers = {"accept-encoding": "identity", "user-agent": "minoots-agent"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    one = _OneHost(transport, url, token)
    try:
        async with (
            httpx2.AsyncClient(transport=one, headers=headers, timeout=seconds, trust_env=False) as client,
            # Without a goodbye: a server that does not answer it would hold up what it has answered.
            streamable_http_client(url, http_client=client, terminate_on_close=False) as streams,
        ):
            yield streams
    except Exception as error:
        if not one.spent:
            said = first_of(error)
            if one.refused is None or not isinstance(said, MCPError):
                raise
            # The client tells any status by the same few words; it is the status that says what is wrong.
            raise Failure(
                FailureKind.UNAVAILABLE,
                f"the MCP server at {':'.join(map(str, place_of(url)))} answered with the status "
                f"{one.refused}: {said.error.message[:_WORDS]}",
                remedy="Have the operator put what it wants to see into jobs.mcp_tokens."
                if one.refused in _WANTS_A_TOKEN
                else "Look at the url in mcp of the job: it has to be the endpoint of the server.",
            ) from error
        raise Failure(
            FailureKind.EXHAUSTED,
            f"the MCP server at {':'.join(map(str, place_of(url)))} took more than {MOST_REQUESTS} requests "
            "of one session, and is not listened to any more",
            remedy="Have it ask its client less, and end no stream that it has not answered.",
        ) from error


def first_of(error: BaseException) -> BaseException:
    """Return what happened: task groups wrap whatever happens in them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _OneHost(httpx2.AsyncBaseTransport):
    """The guarded transport, for one host and port: no answer can send the client to another."""

    def __init__(self, inner: GuardedTransport, url: str, token: str | None) -> None:
        self._inner = inner
        self._token = None if token is None else token.encode()
        self._sent = 0
        self.refused: int | None = None
        """The status of its newest answer, where that says that something is wrong."""
        self._guarded = Guarded(inner)
        self._place = place_of(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if place_of(str(request.url)) != self._place:
            raise httpx2.UnsupportedProtocol("a server may not send its client to another host")
        self._sent += 1
        self.require_few()
        answer = await self._guarded.handle_async_request(request)
        if request.method == "POST":
            self.refused = answer.status_code if answer.is_error else None
        if self._token is not None:
            answer.stream = _Without(answer.stream, self._token)
        answer.stream = _While(answer.stream, self)
        return answer

    @property
    def spent(self) -> bool:
        """Whether it has had its requests."""
        return self._sent > MOST_REQUESTS

    def require_few(self) -> None:
        """Refuse to go on with a server that keeps its client busy.

        Raises:
            UnsupportedProtocol: it does.
        """
        if self.spent:
            raise httpx2.UnsupportedProtocol(f"a server may not take more than {MOST_REQUESTS} requests")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _While(httpx2.AsyncByteStream):
    """An answer that is read for as long as its server keeps nobody busy."""

    def __init__(self, inner: Any, host: _OneHost) -> None:
        self._inner = inner
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            self._host.require_few()
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Without(httpx2.AsyncByteStream):
    """An answer without the token that its server says back, as some do: models would be told of it."""

    def __init__(self, inner: Any, token: bytes) -> None:
        self._inner = inner
        self._token = token

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        async for piece in self._inner:
            rest = (rest + piece).replace(self._token, REDACTED.encode())
            # The token may go on in the next piece. No more waits than that: a message may end here.
            kept = next(
                (size for size in range(len(self._token) - 1, 0, -1) if rest.endswith(self._token[:size])), 0
            )
            whole, rest = rest[: len(rest) - kept], rest[len(rest) - kept :]
            if whole:
                yield whole
        if rest:
            yield rest

    async def aclose(self) -> None:
        await self._inner.aclose()
