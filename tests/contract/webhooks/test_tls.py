"""TLS: the name that the user wrote is the name that is verified."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest

from minoots.contracts.deliveries import AttemptError


@pytest.fixture
def secure_sender(sender, resolver, authority):
    """A sender that trusts the authority and finds every name on loopback."""
    return lambda: sender(resolver=resolver(["127.0.0.1"]), ssl_context=authority.trusting())


@pytest.mark.parametrize("host", ["receiver.test", "receiver.test.", "127.0.0.1"])
async def test_the_certificate_is_checked_against_the_host_of_the_url(
    receive, secure_sender, webhook, authority, host
) -> None:
    receiver = await receive(tls=authority.serving("receiver.test", "127.0.0.1"))
    async with secure_sender() as sending:
        result = await sending.send(webhook(f"https://{host}:{receiver.port}/"))
    assert (result.status, result.error, result.detail) == (200, None, None)
    assert receiver.server_names == [None if host == "127.0.0.1" else "receiver.test"]


@pytest.mark.parametrize("host", ["other.test", "127.0.0.1"])
async def test_a_certificate_for_another_host_is_refused(
    receive, secure_sender, webhook, authority, host
) -> None:
    receiver = await receive(tls=authority.serving("receiver.test"))
    async with secure_sender() as sending:
        result = await sending.send(webhook(f"https://{host}:{receiver.port}/"))
    assert result.error == AttemptError.TLS
    assert "certificate is not valid for" in (result.detail or "")
    assert receiver.requests == []


async def test_an_expired_certificate_is_refused(receive, secure_sender, webhook, authority) -> None:
    receiver = await receive(tls=authority.serving("receiver.test", days=-1))
    async with secure_sender() as sending:
        result = await sending.send(webhook(f"https://receiver.test:{receiver.port}/"))
    assert (result.error, receiver.requests) == (AttemptError.TLS, [])
    assert "expired" in (result.detail or "")


async def test_an_unknown_authority_is_refused(receive, sender, resolver, webhook, authority) -> None:
    receiver = await receive(tls=authority.serving("receiver.test"))
    async with sender(resolver=resolver(["127.0.0.1"])) as sending:
        result = await sending.send(webhook(f"https://receiver.test:{receiver.port}/"))
    assert (result.error, receiver.requests) == (AttemptError.TLS, [])


async def test_a_receiver_without_tls_fails_as_tls(receive, secure_sender, webhook) -> None:
    async def plain(receiver, reader, writer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    receiver = await receive(plain)
    async with secure_sender() as sending:
        result = await sending.send(webhook(f"https://receiver.test:{receiver.port}/"))
    assert result.error == AttemptError.TLS


async def test_a_handshake_that_stalls_is_a_timeout_and_its_socket_closed(
    receive, secure_sender, webhook, until
) -> None:
    async def reads_on(receiver, reader, writer) -> None:
        while await reader.read(1024):
            pass

    receiver = await receive(reads_on)
    async with secure_sender() as sending:
        result = await sending.send(
            webhook(f"https://receiver.test:{receiver.port}/", timeout=timedelta(milliseconds=300))
        )
        await until(lambda: receiver.connections == 1 and receiver.open == 0)
    assert result.error == AttemptError.TIMEOUT
    assert "TLS handshake" in (result.detail or "")


async def test_a_warmed_connection_is_under_tls_already(
    receive, secure_sender, webhook, authority, until
) -> None:
    receiver = await receive(tls=authority.serving("receiver.test"))
    url = f"https://receiver.test:{receiver.port}/"
    async with secure_sender() as sending:
        await sending.warm(url)
        await until(lambda: receiver.connections == 1)
        for _ in range(2):
            result = await sending.send(webhook(url))
            assert (result.error, result.detail) == (None, None)
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


async def test_a_warmed_connection_is_not_mixed_up_with_a_plain_one(
    receive, secure_sender, webhook, authority, until
) -> None:
    receiver = await receive(tls=authority.serving("receiver.test"))
    async with secure_sender() as sending:
        await sending.warm(f"https://receiver.test:{receiver.port}/")
        await until(lambda: receiver.connections == 1)
        result = await sending.send(webhook(f"http://receiver.test:{receiver.port}/"))
    assert result.error == AttemptError.PROTOCOL
    assert receiver.requests == []


async def test_a_warmed_host_with_a_wrong_certificate_gets_nothing(
    receive, secure_sender, webhook, authority
) -> None:
    receiver = await receive(tls=authority.serving("receiver.test"))
    url = f"https://other.test:{receiver.port}/"
    async with secure_sender() as sending:
        await sending.warm(url)
        result = await sending.send(webhook(url))
    assert (result.error, receiver.requests) == (AttemptError.TLS, [])


async def test_nobody_listens_is_no_tls_error(secure_sender, webhook) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with secure_sender() as sending:
            result = await sending.send(webhook(f"https://receiver.test:{bound.getsockname()[1]}/"))
    assert result.error == AttemptError.CONNECT
