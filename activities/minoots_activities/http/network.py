# ruff: noqa: ASYNC109 - the timeout parameters are httpcore's interface
"""TCP and TLS for webhooks: resolve once, check, connect to what was checked.

Owns the network backend under httpcore's pool, and connections that are opened ahead of time. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Iterable
from typing import Any, Final

import httpcore

from minoots_platform.addresses import Address, AddressPolicy

from .checking import checked_addresses
from .faults import AddressRefused, AnswerTooLarge, ClosedUnanswered, TLSFailed, Unreachable
from .names import Resolver

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Read of one answer, headers and framing included. We keep 2 KiB of body; the rest is for generous
headers."""
_READ_BYTES: Final = 8 * 1024
_NEXT_ADDRESS_AFTER: Final = 1.0
"""Seconds for an address while there is another to try: a dead IPv6 route must not eat the whole attempt."""
_PARKED_SECONDS: Final = 4.0


class GuardedStream(httpcore.AsyncNetworkStream):
    """A connection that reads a bounded amount of each answer.

    Attributes:
        kept: whether it was open before the request that it carries.
        answered: whether anything was read since the request was written.
    """

    def __init__(
        self,
        inner: httpcore.AsyncNetworkStream,
        *,
        secured: bool = False,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.inner = inner
        self.kept = False
        self._secured = secured
        self.answered = False
        self._most = most_bytes
        self._left = most_bytes

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes, or none at the end."""
        if self._left <= 0:
            raise AnswerTooLarge(f"the answer is longer than {self._most} bytes before it is complete")
        try:
            data = await self.inner.read(min(max_bytes, _READ_BYTES, self._left), timeout)
        except httpcore.ReadError as error:
            if self.answered:
                raise
            raise self._unanswered() from error
        if not data and not self.answered:
            raise self._unanswered()
        self.answered = True
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``."""
        if self.answered:
            self.kept = True
        self.answered = False
        self._left = self._most
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close at once."""
        await self.inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Return the stream under TLS; one that was parked is under TLS already."""
        if self._secured:
            return self
        try:
            secure = await self.inner.start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError as error:
            raise TLSFailed(_tls_reason(error)) from error
        except BaseException:
            # A cancelled handshake would leave the socket open.
            await self.inner.aclose()
            raise
        return GuardedStream(secure, secured=True, most_bytes=self._most)

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection knows about itself."""
        return self.inner.get_extra_info(info)

    def _unanswered(self) -> ClosedUnanswered:
        fault = ClosedUnanswered("the receiver closed the connection without an answer")
        fault.kept = self.kept
        return fault


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the policy allows, and to no other.

    One resolution for each connection; it is judged as a whole and one of its addresses is connected to, so
    there is no second answer that could differ from the checked one.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        resolver: Resolver,
        tls: ssl.SSLContext | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """Make a backend for plain connections, or with ``tls`` for those under TLS."""
        self._most_bytes = most_bytes
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._tcp = httpcore.AnyIOBackend()
        self._parked: dict[tuple[str, int], list[_Parked]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection that was parked for this host, or a new one."""
        waiting = self._parked.get((host, port), [])
        return await waiting.pop().take() if waiting else await self._dial(host, port)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: a webhook has no business with local sockets."""
        raise AddressRefused("unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def park(self, host: str, port: int, server_hostname: str) -> None:
        """Open a connection and keep it for the next `connect_tcp`, for a few seconds at most."""
        stream = await self.open(host, port, server_hostname)
        stream.kept = True
        self._parked = {key: waiting for key, waiting in self._parked.items() if waiting}
        waiting = self._parked.setdefault((host, port), [])
        waiting.append(_Parked(stream, waiting))

    async def open(self, host: str, port: int, server_hostname: str) -> GuardedStream:
        """Open a connection that is the caller's to close, TLS included where there is any."""
        stream: httpcore.AsyncNetworkStream = await self._dial(host, port)
        if self._tls is not None:
            stream = await stream.start_tls(self._tls, server_hostname)
        assert isinstance(stream, GuardedStream)  # noqa: S101 - for the type checker: both ways give one
        return stream

    def parked(self, host: str, port: int) -> int:
        """Return how many connections are parked for this host."""
        return len(self._parked.get((host, port), ()))

    def parked_in_all(self) -> int:
        """Return how many connections are parked."""
        return sum(len(waiting) for waiting in self._parked.values())

    async def aclose(self) -> None:
        """Close what is parked."""
        for waiting in self._parked.values():
            while waiting:
                stream = await waiting.pop().take()
                await stream.aclose()
        self._parked.clear()

    async def _dial(self, host: str, port: int) -> GuardedStream:
        addresses = await self._checked(host, port)
        for address in addresses[:-1]:
            try:
                return self._stream(
                    await self._tcp.connect_tcp(str(address), port, timeout=_NEXT_ADDRESS_AFTER)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        try:
            return self._stream(await self._tcp.connect_tcp(str(addresses[-1]), port))
        except httpcore.ConnectError as error:
            raise Unreachable(f"cannot connect to {host} port {port}: {_os_reason(error)}") from error

    def _stream(self, inner: httpcore.AsyncNetworkStream) -> GuardedStream:
        return GuardedStream(inner, most_bytes=self._most_bytes)

    async def _checked(self, host: str, port: int) -> list[Address]:
        return await checked_addresses(
            host, port, self._policy, self._resolver, setting="delivery.allowed_networks"
        )


class _Parked:
    """An open connection without a request, watched so that an ended one is not handed out."""

    def __init__(self, stream: GuardedStream, waiting: list[_Parked]) -> None:
        self._stream = stream
        self._waiting = waiting
        self._watcher = asyncio.create_task(self._watch(), name="parked connection")

    async def take(self) -> GuardedStream:
        """Stop watching and return the connection. One that ended has left ``waiting`` by itself."""
        self._watcher.cancel()
        try:
            await asyncio.wait([self._watcher])
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise
        return self._stream

    async def _watch(self) -> None:
        # Reading is the watch. It also takes in the TLS session tickets that follow a handshake, which would
        # make the socket look as if the receiver had spoken or hung up.
        try:
            async with asyncio.timeout(_PARKED_SECONDS):
                await self._stream.inner.read(1)
        except (TimeoutError, httpcore.NetworkError):
            pass  # too old, or reset: closed below, and the next request opens its own
        if self in self._waiting:
            self._waiting.remove(self)
        await self._stream.aclose()


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _os_reason(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
            return os.strerror(cause.errno).lower()
    return "the connection failed"


def _tls_reason(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"the TLS handshake failed: {(cause.reason or 'protocol error').lower().replace('_', ' ')}"
    return "the receiver closed the connection during the TLS handshake"
