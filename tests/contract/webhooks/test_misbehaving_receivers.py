"""Receivers that drip, flood, hang up or talk nonsense."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from datetime import timedelta

import pytest

from minoots.contracts.deliveries import AttemptError
from minoots_activities.http.network import MAX_ANSWER_BYTES

SHORT = timedelta(milliseconds=300)


async def silent(receiver, reader, writer) -> None:
    await receiver.read(reader)
    await reader.read()


async def drips_headers(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while not reader.at_eof():
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.01)


async def hangs_up(receiver, reader, writer) -> None:
    await receiver.read(reader)


async def hangs_up_in_the_headers(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nx: 1\r\n")
    await writer.drain()


async def resets(receiver, reader, writer) -> None:
    await receiver.read(reader)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def huge_header(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 2 * MAX_ANSWER_BYTES + b"\r\n\r\n")
    await writer.drain()
    await reader.read()


async def endless_headers(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n" * 1000)
        await writer.drain()


async def endless_continue(receiver, reader, writer) -> None:
    await receiver.read(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (silent, AttemptError.TIMEOUT, "waiting for the answer"),
        (drips_headers, AttemptError.TIMEOUT, "waiting for the answer"),
        (hangs_up, AttemptError.PROTOCOL, "without an answer"),
        (hangs_up_in_the_headers, AttemptError.PROTOCOL, "not HTTP/1.1"),
        (resets, AttemptError.PROTOCOL, "without an answer"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", AttemptError.PROTOCOL, "not HTTP/1.1"),
        (b"\x16\x03\x01\x00\xff" * 100, AttemptError.PROTOCOL, "not HTTP/1.1"),
        (b"HTTP/1.1 abc OK\r\n\r\n", AttemptError.PROTOCOL, "not HTTP/1.1"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            AttemptError.PROTOCOL,
            "not HTTP/1.1",
        ),
        (huge_header, AttemptError.PROTOCOL, "longer than 65536 bytes"),
        (endless_headers, AttemptError.PROTOCOL, "longer than 65536 bytes"),
        (endless_continue, AttemptError.PROTOCOL, "longer than 65536 bytes"),
    ],
)
async def test_without_an_answer_the_attempt_fails_and_says_how(
    receive, sender, webhook, until, answer, error, says
) -> None:
    receiver = await receive(answer)
    timeout = SHORT if error is AttemptError.TIMEOUT else timedelta(seconds=10)
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url, timeout=timeout))
        # While the sender is still open: the attempt itself let go of the connection.
        await until(lambda: receiver.open == 0)
    assert (result.error, result.status, result.response) == (error, None, None)
    assert says in (result.detail or "")
    assert len(receiver.requests) == 1


async def drips_body(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.005)


async def stops_in_the_body(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\naaa")
    await reader.read()


async def endless_body(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\n\r\n")
    while True:
        writer.write(b"a" * 10_000)
        await writer.drain()


async def endless_chunks(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1;" + b"x" * 1000 + b"\r\na\r\n")
        await writer.drain()


async def broken_chunks(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\naaa\r\nzzz\r\n")
    await writer.drain()
    await reader.read()


async def cut_body(receiver, reader, writer) -> None:
    await receiver.read(reader)
    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\naaa")
    await writer.drain()


@pytest.mark.parametrize(
    "answer", [drips_body, stops_in_the_body, endless_body, endless_chunks, broken_chunks, cut_body]
)
async def test_once_the_status_came_the_body_cannot_undo_it(receive, sender, webhook, until, answer) -> None:
    receiver = await receive(answer)
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url, timeout=SHORT))
        await until(lambda: receiver.open == 0)
    assert (result.status, result.error) == (202, None)
    assert result.response is not None
    assert set(result.response) <= {"a"}
    assert len(result.response) <= 2048
    assert len(receiver.requests) == 1


async def test_a_long_body_is_cut_at_two_kibibytes(receive, sender, webhook) -> None:
    receiver = await receive(endless_body)
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url))
    assert result.response == "a" * 2048


async def test_a_zip_bomb_stays_packed(receive, sender, webhook) -> None:
    bomb = gzip.compress(bytes(5_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    receiver = await receive(head.encode() + bomb)
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url))
    assert result.succeeded
    assert result.response is not None
    assert 0 < len(result.response) <= 2048
    assert "\x00" not in result.response


async def test_interim_answers_are_passed_over(receive, sender, webhook) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    receiver = await receive(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url))
    assert (result.status, result.response) == (200, "a")


async def test_a_switch_of_protocols_is_a_failure(receive, sender, webhook, until) -> None:
    receiver = await receive(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url, timeout=timedelta(seconds=1)))
        await until(lambda: receiver.open == 0)
    assert (result.status, result.error) in [(101, AttemptError.STATUS), (None, AttemptError.PROTOCOL)]


async def test_nobody_listens(receive, sender, webhook) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        async with sender() as sending:
            result = await sending.send(webhook(url))
    assert (result.error, result.status) == (AttemptError.CONNECT, None)
    assert "connection refused" in (result.detail or "")


async def test_time_that_runs_out_while_resolving_says_so(sender, webhook) -> None:
    async def stuck(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with sender(resolver=stuck) as sending:
        result = await sending.send(webhook("http://receiver.test/", timeout=SHORT))
    assert result.error == AttemptError.TIMEOUT
    assert "resolving the name" in (result.detail or "")
