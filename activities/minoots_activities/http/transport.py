"""An httpx transport for receivers that nobody vouches for.

Owns pooling and what is passed between httpx, httpcore and `GuardedNetwork`. Follows no redirect, knows no
proxy and no cookie. Answers are not decompressed here; ask for ``Accept-Encoding: identity``.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

import httpcore
import httpx

from minoots_platform.addresses import AddressPolicy

from .names import Resolver, SystemResolver
from .network import MAX_ANSWER_BYTES, GuardedNetwork, GuardedStream

KEPT_SECONDS: Final = 4.0
"""Idle connections are ours to close. Node, uvicorn and Apache close theirs after 5 s: leave first, and a
request never crosses their goodbye on the wire. It also bounds how long a checked address stays in use."""
MAX_CONNECTIONS: Final = 500
"""Under the 1,024 open files that most systems give a process."""
MAX_KEPT: Final = 100
_WARM_SECONDS: Final = 5.0
_MAX_PARKED_IN_ALL: Final = 100
_MAX_PARKED: Final = 8
"""For each origin: more timers than this on one instant connect for themselves."""

EXCHANGE: Final = "minoots.exchange"
"""Request extension: an `Exchange` to fill."""


class Stage(StrEnum):
    """How far a request has come, in words that finish "the time ran out …"."""

    QUEUE = "waiting for a free connection"
    CONNECT = "resolving the name and connecting"
    TLS = "in the TLS handshake"
    SEND = "sending the request"
    ANSWER = "waiting for the answer"


_STAGES: Final = {
    "connection.connect_tcp.started": Stage.CONNECT,
    "connection.start_tls.started": Stage.TLS,
    "http11.send_request_headers.started": Stage.SEND,
    "http11.receive_response_headers.started": Stage.ANSWER,
}


@dataclass
class Exchange:
    """One request on its way.

    Attributes:
        late_headers: called when the connection stands and the request is about to be written; gives headers
        to
            add. A signature belongs here: made earlier, it would date from before connecting.
        fresh: use no connection that was open before.
        stage: how far it has come.
    """

    late_headers: Callable[[], Mapping[str, str]] | None = None
    fresh: bool = False
    stage: Stage = Stage.QUEUE

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Take note of what httpcore does (its ``trace`` extension)."""
        stage = _STAGES.get(name)
        if stage is None:
            return
        self.stage = stage
        if stage is Stage.SEND and self.late_headers is not None:
            request: httpcore.Request = info["request"]
            late = [
                (name.encode("ascii"), value.encode("ascii")) for name, value in self.late_headers().items()
            ]
            request.headers = [*request.headers, *late]


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests to allowed addresses only; see `minoots_activities.http.network`."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._own_resolver = None if resolver is not None else SystemResolver()
        found = resolver or self._own_resolver
        assert found is not None  # noqa: S101 - one of the two is set above
        tls = ssl_context or _authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        tls.set_alpn_protocols(["http/1.1"])
        self._networks = {
            "http": GuardedNetwork(policy, found, most_bytes=most_bytes),
            "https": GuardedNetwork(policy, found, tls, most_bytes),
        }
        self._pools = {
            scheme: _pool(network, tls, MAX_KEPT, KEPT_SECONDS) for scheme, network in self._networks.items()
        }
        self._fresh_pool = _pool(GuardedNetwork(policy, found), tls, 0, 0.0)
        self._expected: dict[tuple[str, str, int], list[float]] = {}
        self._opening: Counter[tuple[str, str, int]] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return its answer, the body unread."""
        exchange = request.extensions.get(EXCHANGE) or Exchange()
        scheme, host, port = origin = _origin(request.url)
        expected = self._expected.get(origin)
        if expected:
            expected.pop(0)
        pool = self._fresh_pool if exchange.fresh else self._pools[scheme]
        with _httpx_errors():
            answer = await pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions={
                        "timeout": request.extensions.get("timeout", {}),
                        "sni_hostname": _tls_name(host),
                        "trace": exchange.trace,
                    },
                )
            )
            stream = answer.extensions["network_stream"]
            if isinstance(stream, GuardedStream) and not stream.answered:
                # Sent along with the answer before: it would report a delivery that never was.
                await stream.aclose()
                await answer.aclose()
                raise httpcore.RemoteProtocolError("answered before it was asked")
        return httpx.Response(
            status_code=answer.status, headers=answer.headers, stream=_AnswerStream(answer), request=request
        )

    async def prepare(self) -> None:
        """Load what httpcore and anyio load on first use: some 35 ms that would make the first timer late."""
        await httpcore.AnyIOBackend().sleep(0)

    async def warm(self, url: httpx.URL) -> None:
        """Open a connection for a request that is about to come, unless one stands ready for it.

        Raises:
            httpx.TransportError: when it cannot be opened. The request will say why.
            TimeoutError: when it takes longer than 5 s.
        """
        scheme, host, port = origin = _origin(url)
        now = time.monotonic()
        self._expected = {
            key: due
            for key, all_due in self._expected.items()
            if (due := [each for each in all_due if each > now])
        }
        expected = self._expected.setdefault(origin, [])
        expected.append(now + _WARM_SECONDS)
        open_early = (
            sum(network.parked_in_all() for network in self._networks.values()) + self._opening.total()
        )
        if open_early >= _MAX_PARKED_IN_ALL or self._ready(origin) >= min(len(expected), _MAX_PARKED):
            return
        self._opening[origin] += 1
        try:
            with _httpx_errors():
                async with asyncio.timeout(_WARM_SECONDS):
                    await self._networks[scheme].park(host, port, _tls_name(host))
        finally:
            self._opening[origin] -= 1
            if not self._opening[origin]:
                del self._opening[origin]

    async def reach(self, url: httpx.URL) -> None:
        """Open a connection and close it again.

        Raises:
            httpx.TransportError: when it cannot be opened.
            TimeoutError: when it takes longer than 5 s.
        """
        scheme, host, port = _origin(url)
        with _httpx_errors():
            async with asyncio.timeout(_WARM_SECONDS):
                stream = await self._networks[scheme].open(host, port, _tls_name(host))
                await stream.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in (*self._pools.values(), self._fresh_pool):
            await pool.aclose()
        for network in self._networks.values():
            await network.aclose()
        if self._own_resolver is not None:
            self._own_resolver.close()

    def _ready(self, origin: tuple[str, str, int]) -> int:
        scheme, host, port = origin
        wanted = httpcore.Origin(scheme.encode(), host.encode(), port)
        idle = sum(
            connection.can_handle_request(wanted)
            and connection.is_available()
            and not connection.has_expired()
            for connection in self._pools[scheme].connections
        )
        return idle + self._networks[scheme].parked(host, port) + self._opening[origin]


class _AnswerStream(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        with _httpx_errors():
            await self._answer.aclose()


def _pool(
    network: GuardedNetwork, tls: ssl.SSLContext, kept: int, seconds: float
) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=tls,
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=kept,
        keepalive_expiry=seconds,
        network_backend=network,
    )


@cache
def _authorities(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Return httpx's choice of authorities, read once: those of the variables if set, else certifi's."""
    return httpx.create_ssl_context()


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    if url.scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol("expected an http or https URL")
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


def _tls_name(host: str) -> str:
    # Certificates name neither the dot that ends a full name nor the zone of an address.
    return host.partition("%")[0].rstrip(".")


# The most special first.
_TWINS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
)


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError:
        raise
    except tuple(ours for ours, _ in _TWINS) as error:
        twin = next(theirs for ours, theirs in _TWINS if isinstance(error, ours))
        # Without httpcore's text: for a bad header it quotes the value.
        raise twin(type(error).__name__) from error
