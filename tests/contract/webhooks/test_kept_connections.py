"""Connections that outlive a request, and connections that precede one."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from standardwebhooks import Webhook

from minoots.contracts.deliveries import AttemptError
from minoots_activities.http.network import GuardedNetwork
from minoots_platform.addresses import AddressPolicy

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_connection_serves_many_webhooks(receive, sender, webhook) -> None:
    receiver = await receive()
    async with sender() as sending:
        for _ in range(5):
            assert (await sending.send(webhook(receiver.url))).succeeded
    assert (receiver.connections, len(receiver.requests)) == (1, 5)


async def test_a_connection_that_the_receiver_closed_while_idle_is_not_used(
    receive, sender, webhook, until
) -> None:
    async def once(receiver, reader, writer) -> None:
        await receiver.read(reader)
        writer.write(OK)
        await writer.drain()

    receiver = await receive(once)
    async with sender() as sending:
        for count in range(1, 5):
            result = await sending.send(webhook(receiver.url))
            assert result.succeeded
            assert result.detail is None
            await until(lambda: receiver.open == 0)
            assert (receiver.connections, len(receiver.requests)) == (count, count)


async def test_a_goodbye_that_crosses_the_request_does_not_fail_the_attempt(
    receive, sender, webhook, key
) -> None:
    async def second_is_lost(receiver, reader, writer) -> None:
        await receiver.read(reader)
        writer.write(OK)
        if receiver.connections == 1:
            await receiver.read(
                reader
            )  # what a receiver's kernel would take in while its process says goodbye
        else:
            await reader.read()

    receiver = await receive(second_is_lost)
    async with sender() as sending:
        assert (await sending.send(webhook(receiver.url, webhook_id="msg_1"))).succeeded
        result = await sending.send(webhook(receiver.url, webhook_id="msg_2"))
    assert result.succeeded
    assert "sent again on a new one" in (result.detail or "")
    assert receiver.connections == 2
    assert [request.header("webhook-id") for request in receiver.requests] == ["msg_1", "msg_2", "msg_2"]
    for request in receiver.requests:
        Webhook(key.secret).verify(request.body, dict(request.headers))


async def test_it_is_sent_again_on_a_connection_that_is_not_kept(receive, sender, webhook) -> None:
    both = asyncio.Barrier(2)

    async def two_are_lost(receiver, reader, writer) -> None:
        await receiver.read(reader)
        if receiver.connections <= 2:
            await both.wait()
            writer.write(OK)
            await receiver.read(reader)
        else:
            writer.write(OK)
            await reader.read()

    receiver = await receive(two_are_lost)
    async with sender() as sending:
        results = await asyncio.gather(*(sending.send(webhook(receiver.url)) for _ in range(2)))
        assert all(result.succeeded for result in results)
        result = await sending.send(webhook(receiver.url))
    assert result.succeeded
    assert receiver.connections == 3


async def test_it_is_sent_again_only_once(receive, sender, webhook) -> None:
    async def only_the_first(receiver, reader, writer) -> None:
        await receiver.read(reader)
        if receiver.connections == 1:
            writer.write(OK)
            await receiver.read(reader)

    receiver = await receive(only_the_first)
    async with sender() as sending:
        assert (await sending.send(webhook(receiver.url))).succeeded
        result = await sending.send(webhook(receiver.url))
    assert result.error == AttemptError.PROTOCOL
    assert "sent again" in (result.detail or "")
    assert (receiver.connections, len(receiver.requests)) == (2, 3)


async def test_after_a_byte_of_the_answer_it_is_not_sent_again(receive, sender, webhook) -> None:
    async def breaks_off(receiver, reader, writer) -> None:
        await receiver.read(reader)
        writer.write(OK)
        await receiver.read(reader)
        writer.write(b"HTTP/1.1 2")
        await writer.drain()

    receiver = await receive(breaks_off)
    async with sender() as sending:
        assert (await sending.send(webhook(receiver.url))).succeeded
        result = await sending.send(webhook(receiver.url))
    assert result.error == AttemptError.PROTOCOL
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


async def test_an_answer_left_unread_never_reaches_the_next_webhook(receive, sender, webhook) -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 6000\r\n\r\n" + b"a" * 3000 + OK.ljust(3000, b"b")
    receiver = await receive(big)
    async with sender() as sending:
        results = [await sending.send(webhook(receiver.url)) for _ in range(2)]
    assert [result.response for result in results] == ["a" * 2048] * 2
    assert receiver.connections == 2


async def test_an_unasked_answer_is_not_taken_for_the_next_one(receive, sender, webhook, until) -> None:
    receiver = await receive(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
    async with sender() as sending:
        first = await sending.send(webhook(receiver.url))
        second = await sending.send(webhook(receiver.url))
        await until(lambda: receiver.open == 0)
    assert first.response == "ok"
    assert (second.error, second.response) == (AttemptError.PROTOCOL, None)


async def test_a_warmed_connection_is_the_one_that_is_used(receive, sender, webhook, until) -> None:
    receiver = await receive()
    async with sender() as sending:
        await sending.warm(receiver.url)
        await until(lambda: receiver.connections == 1)
        assert receiver.requests == []
        assert (await sending.send(webhook(receiver.url))).succeeded
        await sending.warm(receiver.url)
        assert (await sending.send(webhook(receiver.url))).succeeded
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


async def test_each_webhook_that_is_about_to_come_finds_its_connection(
    receive, sender, webhook, until
) -> None:
    receiver = await receive()
    async with sender() as sending:
        await asyncio.gather(*(sending.warm(receiver.url) for _ in range(4)))
        await until(lambda: receiver.connections == 4)
        results = await asyncio.gather(*(sending.send(webhook(receiver.url)) for _ in range(4)))
    assert all(result.succeeded for result in results)
    assert (receiver.connections, len(receiver.requests)) == (4, 4)


async def test_warming_has_a_limit(receive, sender, until) -> None:
    receiver = await receive()
    async with sender() as sending:
        await asyncio.gather(*(sending.warm(receiver.url) for _ in range(100)))
        await until(lambda: receiver.connections == 8)
    await until(lambda: receiver.open == 0)
    assert receiver.connections == 8


@pytest.mark.parametrize("speaks", [b"", b"hello"])
async def test_a_warmed_connection_that_the_receiver_ended_is_not_used(
    receive, sender, webhook, until, speaks
) -> None:
    async def impatient(receiver, reader, writer) -> None:
        if receiver.connections == 1:
            writer.write(speaks)
            return
        await receiver.read(reader)
        writer.write(OK)

    receiver = await receive(impatient)
    async with sender() as sending:
        await sending.warm(receiver.url)
        await until(lambda: receiver.connections == 1 and receiver.open == 0)
        result = await sending.send(webhook(receiver.url))
    assert (result.status, result.error, result.response) == (200, None, "ok")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("speaks", [b"", b"hello"])
async def test_a_parked_connection_that_the_receiver_ended_is_given_up(
    receive, resolver, until, speaks
) -> None:
    async def ends_when_told(receiver, reader, writer) -> None:
        await told.wait()
        writer.write(speaks)

    told = asyncio.Event()
    receiver = await receive(ends_when_told)
    network = GuardedNetwork(AddressPolicy((ip_network("127.0.0.0/8"),)), resolver(["127.0.0.1"]))
    await network.park("receiver.test", receiver.port, "receiver.test")
    assert network.parked("receiver.test", receiver.port) == 1
    told.set()
    # Within 2 s: by itself it would be given up after 4.
    async with asyncio.timeout(2):
        await until(lambda: network.parked_in_all() == 0)
    await network.aclose()


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/", "http://169.254.169.254/", "http://[::1", "ftp://127.0.0.1/", "http://a..b/", ""],
)
async def test_warming_never_raises(sender, url) -> None:
    async with sender() as sending:
        await sending.warm(url)
