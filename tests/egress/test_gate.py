"""The gate of a sandbox: who is let out, to where, and how much."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from minoots_activities.egress.gate import Attempt, Bounds, Gate
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

LOOPBACK = AddressPolicy((ip_network("127.0.0.0/8"),))
BLOCK = 65536


@dataclass
class Site:
    """A plain HTTP server that keeps what it was sent."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    rest: list[bytes] = field(default_factory=list)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server on a loopback: answers each first request, then echoes."""
    here = Site(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            here.heads.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            if b"CONNECTED" in head:
                while data := await reader.read(BLOCK):
                    writer.write(data)
                    await writer.drain()
            elif b"Content-Length: 4" in head:
                here.rest.append(await reader.readexactly(4))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()


@dataclass
class Opened:
    """A gate with what it has told."""

    gate: Gate
    port: int
    heard: list[Attempt]

    async def talk(self, sent: bytes) -> bytes:
        """Send bytes and return all that comes back, until its end."""
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(sent)
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()


Gates = Callable[..., Any]


@pytest.fixture
async def open_gate() -> AsyncIterator[Gates]:
    """Open gates on a loopback of this machine; in a sandbox it is the sandbox's."""
    async with AsyncExitStack() as stack:

        async def open_one(
            *hosts: str,
            policy: AddressPolicy = LOOPBACK,
            names: Sequence[Sequence[str]] = (("127.0.0.1",),),
            refuses: BaseException | None = None,
            **bounds: Any,
        ) -> Opened:
            heard: list[Attempt] = []
            answers = list(names)

            async def resolve(host: str, port: int) -> Sequence[str]:
                if not answers[0]:
                    raise OSError
                return answers.pop(0) if len(answers) > 1 else answers[0]

            def hear(attempt: Attempt) -> None:
                if refuses is not None:
                    raise refuses
                heard.append(attempt)

            gate = Gate(Rules.parse(hosts), policy, resolve, Bounds(**bounds), hear)
            listening = socket.create_server(("127.0.0.1", 0))
            listening.setblocking(False)
            await gate.serve(listening)
            stack.push_async_callback(gate.aclose)
            return Opened(gate, listening.getsockname()[1], heard)

        yield open_one


async def test_an_allowed_host_is_reached_by_name(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}")
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{opened.port}", trust_env=False) as client:
        answer = await client.post(
            f"http://site.test:{site.port}/path?q=1", content=b"body", headers={"X-Mine": "yes"}
        )
    assert (answer.status_code, answer.text) == (200, "hello")
    head = site.heads[0].decode()
    assert head.startswith("POST /path?q=1 HTTP/1.1\r\n")
    assert f"\r\nHost: site.test:{site.port}\r\nConnection: close\r\n" in head
    assert "X-Mine: yes" in head
    assert "proxy" not in head.lower()
    assert site.rest == [b"body"]
    assert opened.heard == [Attempt("site.test", site.port)]
    assert opened.gate.used.allowed == 1
    assert opened.gate.used.sent == 4
    assert opened.gate.used.received > 5


async def test_a_tunnel_carries_whatever_is_said(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}")
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        writer.write(f"CONNECT site.test:{site.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"CONNECTED\r\n\r\n")
        await reader.readuntil(b"hello")
        data = b"\x00\xff" * 100_000
        sending = asyncio.create_task(reader.readexactly(len(data)))
        writer.write(data)
        writer.write_eof()
        assert await sending == data
        assert await reader.read() == b""
        writer.close()
    assert opened.gate.used.sent > len(data)


@pytest.mark.parametrize(
    "sent",
    [
        "CONNECT other.test:443 HTTP/1.1\r\n\r\n",
        "CONNECT site.test:22 HTTP/1.1\r\n\r\n",
        "GET http://other.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n",
        "CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n",
    ],
)
async def test_other_hosts_and_ports_are_refused_and_told(open_gate: Gates, sent: str) -> None:
    opened = await open_gate("site.test")
    answer = await opened.talk(sent.encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"is not among the hosts of this job" in answer
    assert [attempt.allowed for attempt in opened.heard] == [False]
    assert opened.gate.used.refused == 1


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (["169.254.169.254"], "metadata"),
        (["10.0.0.7"], "private"),
        (["127.0.0.1"], "loopback"),
        (["fe80::1"], "link-local"),
        (["::ffff:127.0.0.1"], "loopback"),
        (["93.184.215.14", "127.0.0.1"], "loopback"),
    ],
)
async def test_inner_addresses_are_refused_whatever_name_they_have(
    open_gate: Gates, found: list[str], kind: str
) -> None:
    opened = await open_gate("*", policy=AddressPolicy(), names=[found])
    answer = await opened.talk(b"CONNECT site.test:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert f"a {kind} address".encode() in answer
    assert b"sandbox.network.allowed_networks" in answer
    assert kind in opened.heard[0].reason


async def test_it_connects_to_the_address_that_was_checked(open_gate: Gates, site: Site) -> None:
    # A name that answers otherwise the second time: there is no second time.
    opened = await open_gate(f"site.test:{site.port}", names=[["127.0.0.1"], ["192.0.2.1"]])
    sent = f"GET http://site.test:{site.port}/ HTTP/1.1\r\n\r\n".encode()
    assert b"hello" in await opened.talk(sent)
    assert (await opened.talk(sent)).startswith(b"HTTP/1.1 403 ")


async def test_a_name_without_address_is_refused(open_gate: Gates) -> None:
    opened = await open_gate("*", names=[[]])
    answer = await opened.talk(b"CONNECT site.test:443 HTTP/1.1\r\n\r\n")
    assert b"cannot be resolved" in answer


async def test_a_host_that_is_not_there_is_told(open_gate: Gates) -> None:
    with socket.socket() as silent:
        # Bound, so that nobody else has it, and it does not listen.
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        opened = await open_gate(f"site.test:{port}")
        answer = await opened.talk(f"CONNECT site.test:{port} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert opened.gate.used.allowed == 1


async def test_what_cannot_be_recorded_does_not_happen(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}", refuses=OSError("the disk is full"))
    answer = await opened.talk(f"GET http://site.test:{site.port}/ HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert site.heads == []


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n",
        b"GET https://site.test/ HTTP/1.1\r\n\r\n",
        b"GET http://user:word@site.test/ HTTP/1.1\r\n\r\n",
        b"CONNECT site.test HTTP/1.1\r\n\r\n",
        b"CONNECT site.test:0 HTTP/1.1\r\n\r\n",
        b"CONNECT site.test:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT a/b:443 HTTP/1.1\r\n\r\n",
        b"POST http://site.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST http://site.test/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST http://site.test/ HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        b"GET http://site.test/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET http://site.test/ HTTP/1.1\r\nContent-Length : 1\r\n\r\na",
        b"GET http://site.test/ HTTP/1.1\r\nA: b\nHost: other.test\r\n\r\n",
        b"POST http://a/ HTTP/1.1\r\nContent-Length: 4\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"GET http://site.test/ HTTP/1.1\r\nA: b\rHost: other.test\r\n\r\n",
        b"GET http://site.test/ HTTP/1.1\r\nA: b\x00\r\n\r\n",
        b"GET http://site.test/ HTTP/1.1\r\nHost\x0b: other.test\r\n\r\n",
        b"GET http://site.test/ HTTP/1.1\r\n: b\r\n\r\n",
    ],
)
async def test_what_is_no_plain_request_is_refused(open_gate: Gates, sent: bytes) -> None:
    opened = await open_gate("*")
    assert (await opened.talk(sent)).startswith(b"HTTP/1.1 400 ")
    [told] = opened.heard
    assert (told.host, told.port, told.allowed) == ("", 0, False)
    assert told.reason.startswith("expected ")
    assert "site.test" not in told.reason, "what a stranger sends is not repeated"


async def test_a_head_without_end_is_refused(open_gate: Gates) -> None:
    opened = await open_gate("*")
    answer = await opened.talk(b"GET http://site.test/ HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
    # Closed while bytes wait unread, the answer may be lost on the way.
    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""
    assert [one.allowed for one in opened.heard] == [False]


async def test_connections_that_name_no_host_are_told_some_times_and_all_counted(open_gate: Gates) -> None:
    opened = await open_gate("*")
    for _ in range(30):
        await opened.talk(b"hello\r\n\r\n")
    assert len(opened.heard) == 20
    assert opened.heard[-1].reason.endswith("; more such connections are only counted")
    assert opened.gate.used.refused == 30


async def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same(open_gate: Gates) -> None:
    opened = await open_gate("*", refuses=OSError("the disk is full"))
    assert (await opened.talk(b"hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert opened.gate.used.refused == 1


async def test_a_second_request_does_not_ride_along(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}")
    first = f"GET http://site.test:{site.port}/1 HTTP/1.1\r\n\r\n".encode()
    answer = await opened.talk(first + b"GET http://other.test/2 HTTP/1.1\r\n\r\n")
    assert answer.count(b"hello") == 1
    assert len(site.heads) == 1
    assert b"other.test" not in site.heads[0]


async def test_bytes_have_an_end(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}", bytes=3 * BLOCK)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        writer.write(f"CONNECT site.test:{site.port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"CONNECTED\r\n\r\n")
        writer.write(b"x" * 20 * BLOCK)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(20 * BLOCK)
        writer.close()
    assert opened.gate.used.sent + opened.gate.used.received <= 3 * BLOCK


async def test_connections_have_an_end(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}", attempts=2)
    sent = f"GET http://site.test:{site.port}/ HTTP/1.1\r\n\r\n".encode()
    answers = [await opened.talk(sent) for _ in range(3)]
    assert [b" 200 " in answer for answer in answers] == [True, True, False]
    assert answers[2].startswith(b"HTTP/1.1 429 ")
    assert [one.allowed for one in opened.heard] == [True, True, False]
    assert opened.heard[2].host == "site.test"


async def test_those_at_a_time_have_an_end(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}", at_once=1)
    async with asyncio.timeout(60):
        _, silent = await asyncio.open_connection("127.0.0.1", opened.port)
        sent = f"GET http://site.test:{site.port}/ HTTP/1.1\r\n\r\n".encode()
        assert await opened.talk(sent) == b""
        assert [one.reason for one in opened.heard] == ["more than 1 connections at a time"]
        silent.close()
        while b"hello" not in await opened.talk(sent):
            pass


async def test_a_connection_has_an_end(open_gate: Gates) -> None:
    opened = await open_gate("*", seconds=0.05)
    assert await opened.talk(b"GET http://site.test/ HTTP/1.1\r\n") == b""


async def test_a_gate_that_is_closed_ends_what_is_open(open_gate: Gates, site: Site) -> None:
    opened = await open_gate(f"site.test:{site.port}")
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        writer.write(f"CONNECT site.test:{site.port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await opened.gate.aclose()
        assert await reader.read() == b""
        writer.close()
