"""Addresses that must not be reached, by whatever road."""

from __future__ import annotations

import ipaddress

import pytest

from minoots.contracts.deliveries import AttemptError


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "127\u30020\u30020\u30021",  # ideographic full stops
        "0",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "[::ffff:127.0.0.1%25lo]",
    ],
)
async def test_every_spelling_of_this_machine_is_refused(receive, sender, webhook, host) -> None:
    receiver = await receive()
    async with sender(allowed_networks=()) as sending:
        await sending.warm(f"http://{host}:{receiver.port}/")
        result = await sending.send(webhook(f"http://{host}:{receiver.port}/"))
    assert (result.error, result.status) == (AttemptError.BLOCKED, None)
    assert "delivery.allowed_networks" in (result.detail or "")
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["localhost.", "0177.0.0.1", "127.0.0.1.", "0x7f.0x0.0x0.0x1."])
async def test_spellings_that_some_resolvers_read_never_get_through(receive, sender, webhook, host) -> None:
    receiver = await receive()
    async with sender(allowed_networks=()) as sending:
        result = await sending.send(webhook(f"http://{host}:{receiver.port}/"))
    assert result.error in (AttemptError.BLOCKED, AttemptError.DNS)
    assert receiver.connections == 0


async def test_an_allowed_network_is_reached(receive, sender, webhook) -> None:
    receiver = await receive()
    async with sender() as sending:
        for host in ("127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"):
            result = await sending.send(webhook(f"http://{host}:{receiver.port}/"))
            assert (result.error, result.detail) == (None, None)


@pytest.mark.parametrize(
    "answer",
    [
        ["169.254.169.254"],
        ["127.0.0.1", "169.254.169.254"],
        ["169.254.169.254", "127.0.0.1"],
        ["127.0.0.1", "::ffff:10.0.0.1"],
        ["127.0.0.1"] * 8 + ["10.0.0.1"],
    ],
)
async def test_an_answer_with_one_forbidden_address_is_refused_as_a_whole(
    receive, sender, webhook, resolver, answer
) -> None:
    receiver = await receive()
    async with sender(resolver=resolver(answer)) as sending:
        result = await sending.send(webhook(f"http://receiver.test:{receiver.port}/"))
    assert result.error == AttemptError.BLOCKED
    assert receiver.connections == 0
    # The tenant learns the kind, not what our name server says of somebody's inner network.
    assert not [address for address in answer if address in (result.detail or "")]


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    receive, sender, webhook, resolver, until
) -> None:
    receiver = await receive(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    rebinding = resolver(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
    url = f"http://rebinding.test:{receiver.port}/"
    async with sender(resolver=rebinding) as sending:
        for connections in (1, 2):
            assert (await sending.send(webhook(url))).succeeded
            # One question for each connection: the answer to a second one would be unchecked.
            assert len(rebinding.asked) == receiver.connections == connections
        third = await sending.send(webhook(url))
    assert third.error == AttemptError.BLOCKED
    assert len(rebinding.asked) == 3
    assert receiver.connections == 2


async def test_a_public_answer_followed_by_loopback_never_reaches_loopback(
    receive, sender, webhook, resolver
) -> None:
    receiver = await receive()
    # Stands for a public address: it is allowed, and nobody listens there.
    public = ipaddress.ip_network("127.0.0.9/32")
    rebinding = resolver(["127.0.0.9"], ["127.0.0.1"])
    async with sender(resolver=rebinding, allowed_networks=(public,)) as sending:
        results = [await sending.send(webhook(f"http://rebinding.test:{receiver.port}/")) for _ in range(2)]
    assert [result.error for result in results] == [AttemptError.CONNECT, AttemptError.BLOCKED]
    assert receiver.connections == 0


async def test_the_next_address_is_tried_when_one_is_dead(receive, sender, webhook, resolver) -> None:
    receiver = await receive()
    async with sender(resolver=resolver(["127.0.0.9", "127.0.0.8", "127.0.0.1"])) as sending:
        result = await sending.send(webhook(f"http://receiver.test:{receiver.port}/"))
    assert (result.error, result.detail) == (None, None)


@pytest.mark.parametrize("answer", [[], ["not an address"], ["127.0.0.1", "localhost"]])
async def test_a_name_without_an_address_is_a_dns_error(receive, sender, webhook, resolver, answer) -> None:
    receiver = await receive()
    async with sender(resolver=resolver(answer)) as sending:
        result = await sending.send(webhook(f"http://receiver.test:{receiver.port}/"))
    assert result.error == AttemptError.DNS
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "url", ["http://a..b/", f"http://{'a' * 70}.test/", "http://does-not-exist.invalid/", "http://300.1.1.1/"]
)
async def test_a_name_that_cannot_be_resolved_is_a_dns_error(sender, webhook, url) -> None:
    async with sender() as sending:
        result = await sending.send(webhook(url))
    assert (result.error, result.status) == (AttemptError.DNS, None)
    assert result.detail
