"""The gate: the one way from a sandbox to the network, and it stands outside.

Owns connections from programs of one sandbox: each is judged by host and port, resolved here, judged by
address, and only then connected to, at the very address that was judged. Bytes, connections and times have
ends. Knows nothing of jobs: who wants to hear of every attempt is told before anything is connected to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from minoots_activities.http.checking import checked_addresses
from minoots_activities.http.faults import AddressRefused, NameNotFound
from minoots_activities.http.names import Resolver
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules
from minoots_platform.telemetry import get_logger

from .requests import MOST_HEAD, Asked, BadRequest, read

_PIECE: Final = 64 * 1024
_HEAD_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 20.0
_NEXT_AFTER: Final = 3.0
"""Seconds for an address while there is another to try."""
_MOST_TOLD: Final = 253
_FAULTS_TOLD: Final = 20
"""Connections of one sandbox that are not judged and told all the same; a program can open thousands."""


@dataclass(frozen=True)
class Bounds:
    """The most of the network that one sandbox may have.

    Attributes:
        bytes: both ways together.
        at_once: connections at a time; who comes beyond is refused.
        attempts: connections in all; what comes beyond is refused, told some times and then only counted.
        seconds: how long one connection may last.
    """

    bytes: int = 256 * 1024 * 1024
    at_once: int = 32
    attempts: int = 1000
    seconds: float = 300.0


@dataclass(frozen=True)
class Attempt:
    """One connection that a program has asked for, as it was judged.

    Attributes:
        host: that it names; empty where it names none, because it is no request or was not read.
        port: likewise; 0 where it names none.
        reason: why it is refused; empty when it is allowed.
    """

    host: str
    port: int
    reason: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it goes on to be connected."""
        return not self.reason


Heard = Callable[[Attempt], None]
"""Who is told of each attempt, before it is connected; what it raises as ``OSError`` refuses the attempt."""


@dataclass
class Used:
    """What a sandbox has had of the network."""

    allowed: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0


class _Spent(Exception):
    """There are no bytes left."""


class Gate:
    """The way to the network for one sandbox.

    Args:
        rules: which hosts.
        policy: which addresses these may have.
        resolver: who knows names.
        bounds: how much.
        heard: who is told of each attempt.
    """

    def __init__(
        self, rules: Rules, policy: AddressPolicy, resolver: Resolver, bounds: Bounds, heard: Heard
    ) -> None:
        self._rules = rules
        self._policy = policy
        self._resolver = resolver
        self._bounds = bounds
        self._heard = heard
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._log = get_logger("minoots.egress")
        self._faults = 0
        self.used = Used()

    async def serve(self, listening: socket.socket) -> None:
        """Take connections from a socket that listens where only the sandbox can reach it."""
        self._server = await asyncio.start_server(self._taken, sock=listening, limit=MOST_HEAD)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection that has come by another way, and carry it to its end.

        Args:
            reader: holds `MOST_HEAD` bytes, as its limit.
            writer: closed at the end.
        """
        await self._taken(reader, writer)

    async def aclose(self) -> None:
        """End every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: asyncio runs this in one
        self._open.add(task)
        try:
            if len(self._open) > self._bounds.at_once:
                # Nothing is read of it: who opens thousands would have thousands of our descriptors.
                self._fault(f"more than {self._bounds.at_once} connections at a time")
                return
            async with asyncio.timeout(self._bounds.seconds):
                await self._answer(reader, writer)
        except (TimeoutError, OSError, _Spent):
            # Its own end, or that of what it may have: the program sees its connection end.
            pass
        except asyncio.CancelledError:
            # The gate is closed: asyncio's server would take this for a fault.
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                asked = await read(reader)
        except BadRequest as bad:
            self._fault(str(bad))
            await _refuse(writer, 400, str(bad))
            return
        if self.used.allowed + self.used.refused >= self._bounds.attempts:
            reason = f"this sandbox has had its {self._bounds.attempts} connections"
            self._fault(reason, asked)
            await _refuse(writer, 429, reason)
            return
        try:
            reason, addresses = await self._judge(asked)
            self._heard(Attempt(asked.host[:_MOST_TOLD], asked.port, reason))
        except OSError as error:
            # What cannot be written down does not happen.
            self._log.error("egress.unheard", error=type(error).__name__)
            reason, addresses = "this attempt cannot be recorded, and so it is refused", []
        if reason:
            self.used.refused += 1
            await _refuse(writer, 403, reason)
            return
        self.used.allowed += 1
        try:
            there = await _connect(addresses, asked.port)
        except (OSError, TimeoutError):
            await _refuse(writer, 502, f"{asked.host} port {asked.port} takes no connection")
            return
        try:
            if asked.body is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                there[1].write(asked.head)
            await self._both((reader, writer), there, asked.body)
        finally:
            there[1].close()

    def _fault(self, reason: str, asked: Asked | None = None) -> None:
        """Count a connection that is not even judged; tell of it, unless very many of them were told."""
        self.used.refused += 1
        self._faults += 1
        if self._faults > _FAULTS_TOLD:
            return
        last = "; more such connections are only counted" if self._faults == _FAULTS_TOLD else ""
        host, port = ("", 0) if asked is None else (asked.host[:_MOST_TOLD], asked.port)
        try:
            self._heard(Attempt(host, port, f"{reason}{last}"))
        except OSError as error:
            self._log.error("egress.unheard", error=type(error).__name__)

    async def _judge(self, asked: Asked) -> tuple[str, list[str]]:
        """Return why it is refused, or the addresses that may be connected to."""
        if not self._rules.allow(asked.host, asked.port):
            return f"{asked.host}:{asked.port} is not among the hosts of this job (network)", []
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                found = await checked_addresses(
                    asked.host,
                    asked.port,
                    self._policy,
                    self._resolver,
                    setting="sandbox.network.allowed_networks",
                )
        except (AddressRefused, NameNotFound) as fault:
            return str(fault), []
        except TimeoutError:
            return f"the name {asked.host} was not resolved in time", []
        return "", [str(address) for address in found]

    async def _both(
        self,
        here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        body: int | None,
    ) -> None:
        """Move bytes both ways until the other side is at its end."""
        upward = asyncio.create_task(self._up(here[0], there[1], body))
        try:
            while data := await there[0].read(_PIECE):
                self._count(len(data))
                self.used.received += len(data)
                here[1].write(data)
                await here[1].drain()
            if upward.done():
                upward.result()
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: int | None) -> None:
        """Move bytes up: as many as were announced, or for a tunnel until its end."""
        left = body
        try:
            while left is None or left > 0:
                data = await reader.read(_PIECE if left is None else min(_PIECE, left))
                if not data:
                    break
                self._count(len(data))
                self.used.sent += len(data)
                left = None if left is None else left - len(data)
                writer.write(data)
                await writer.drain()
            if body is None and writer.can_write_eof():
                writer.write_eof()
        except _Spent:
            # The other direction ends with it.
            writer.transport.abort()
        except OSError:
            writer.transport.abort()

    def _count(self, size: int) -> None:
        if self.used.sent + self.used.received + size > self._bounds.bytes:
            raise _Spent


def environment(port: int) -> Mapping[str, str]:
    """Return what tells programs of a gate that listens on this port of their own machine."""
    url = f"http://127.0.0.1:{port}"
    both = {"http_proxy": url, "https_proxy": url, "no_proxy": "localhost,127.0.0.1,::1"}
    return {**both, **{name.upper(): value for name, value in both.items()}}


async def _connect(addresses: list[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(_CONNECT_SECONDS):
        for address in addresses[:-1]:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_NEXT_AFTER):
                    return await asyncio.open_connection(address, port)
        return await asyncio.open_connection(addresses[-1], port)


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    words = {400: "Bad Request", 403: "Forbidden", 429: "Too Many Requests", 502: "Bad Gateway"}[status]
    body = f"minoots: {reason}\n".encode()
    head = f"HTTP/1.1 {status} {words}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    await writer.drain()
