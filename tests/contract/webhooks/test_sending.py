"""What goes over the wire, and what is made of ordinary answers."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from minoots.contracts.deliveries import AttemptError
from minoots_platform.signing import SigningKey


async def test_a_receiver_gets_the_request_and_can_verify_it(receive, sender, webhook, key) -> None:
    receiver = await receive()
    body = json.dumps({"specversion": "1.0", "data": "grüße"}).encode()
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with sender() as sending:
        result = await sending.send(
            webhook(receiver.url, method="PUT", body=body, headers={"X-Mine": "1"}, traceparent=traceparent)
        )
    assert result.succeeded
    assert (result.status, result.error, result.detail, result.response) == (200, None, None, "ok")
    assert result.started_at <= result.finished_at
    (request,) = receiver.requests
    assert request.line == "PUT /hook?a=1 HTTP/1.1"
    assert request.body == body
    assert request.header("host") == f"127.0.0.1:{receiver.port}"
    assert request.header("content-length") == str(len(body))
    assert request.header("content-type") == "application/cloudevents+json"
    assert request.header("accept-encoding") == "identity"
    assert request.header("user-agent") == "minoots/test"
    assert request.header("traceparent") == traceparent
    assert request.header("x-mine") == "1"
    assert request.header("webhook-id") == "msg_1"
    assert request.header("webhook-timestamp") == str(int(result.started_at.timestamp()))
    assert Webhook(key.secret).verify(request.body, dict(request.headers)) == json.loads(body)
    public = Ed25519PublicKey.from_public_bytes(b64decode(key.public_key.removeprefix("whpk_")))
    signature = request.header("webhook-signature").split(" ")[1].removeprefix("v1a,")
    signed = f"msg_1.{request.header('webhook-timestamp')}.".encode() + request.body
    public.verify(b64decode(signature), signed)


async def test_during_a_rotation_the_receiver_may_hold_either_key(receive, sender, webhook) -> None:
    receiver = await receive()
    old, new = SigningKey.generate(), SigningKey.generate()
    async with sender() as sending:
        await sending.send(webhook(receiver.url, keys=(new, old)))
    (request,) = receiver.requests
    for key in (old, new):
        Webhook(key.secret).verify(request.body, dict(request.headers))


async def test_headers_that_are_ours_cannot_be_set_by_the_user(receive, sender, webhook) -> None:
    receiver = await receive()
    forged = {
        "Host": "elsewhere",
        "Webhook-Id": "forged",
        "WEBHOOK-SIGNATURE": "v1,forged",
        "Transfer-Encoding": "chunked",
        "Content-Length": "1",
        "User-Agent": "forged",
        "Traceparent": "forged",
        "Accept-Encoding": "gzip",
        "Connection": "close",
    }
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url, headers=forged | {"Content-Type": "text/x"}))
    assert result.succeeded
    (request,) = receiver.requests
    assert "forged" not in str(request.headers)
    assert request.header("host") == f"127.0.0.1:{receiver.port}"
    assert request.header("content-type") == "text/x"
    assert request.header("accept-encoding") == "identity"
    assert not [
        name for name, _ in request.headers if name in ("transfer-encoding", "connection", "traceparent")
    ]


async def test_it_is_signed_when_the_connection_stands_and_not_before(receive, sender, webhook) -> None:
    receiver = await receive()
    resolved: list[datetime] = []

    async def slow_resolver(host: str, port: int) -> list[str]:
        begun = datetime.now(UTC)
        while datetime.now(UTC) <= begun:
            await asyncio.sleep(0)
        resolved.append(datetime.now(UTC))
        return ["127.0.0.1"]

    async with sender(resolver=slow_resolver) as sending:
        result = await sending.send(webhook(f"http://receiver.test:{receiver.port}/"))
    assert result.succeeded
    assert result.started_at >= resolved[0]


@pytest.mark.parametrize(
    ("head", "error", "wait"),
    [
        ("201 Created", None, None),
        ("301 Moved", AttemptError.REDIRECT, None),
        ("400 Bad Request", AttemptError.STATUS, None),
        ("410 Gone", AttemptError.GONE, None),
        ("429 Slow down\r\nRetry-After: 17", AttemptError.STATUS, timedelta(seconds=17)),
        ("503 Busy\r\nRetry-After: 99999999", AttemptError.STATUS, timedelta(hours=24)),
        ("503 Busy\r\nRetry-After: later", AttemptError.STATUS, None),
    ],
)
async def test_the_status_decides_the_outcome(receive, sender, webhook, head, error, wait) -> None:
    receiver = await receive(f"HTTP/1.1 {head}\r\nContent-Length: 3\r\n\r\nwhy".encode())
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url))
    assert result.error == error
    assert result.succeeded == (error is None)
    assert result.status == int(head[:3])
    assert result.retry_after == wait
    assert result.response == "why"
    assert (result.detail is None) == (error is None)


async def test_an_answer_without_a_body_succeeds(receive, sender, webhook) -> None:
    receiver = await receive(b"HTTP/1.1 204 No Content\r\n\r\n")
    async with sender() as sending:
        first, second = [await sending.send(webhook(receiver.url)) for _ in range(2)]
    assert (first.status, first.response) == (second.status, second.response) == (204, "")
    assert receiver.connections == 1


async def test_a_redirect_is_not_followed(receive, sender, webhook) -> None:
    other = await receive()
    locations = [other.url, "http://169.254.169.254/latest/meta-data/"]
    for location in locations:
        receiver = await receive(
            f"HTTP/1.1 307 There\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        async with sender() as sending:
            result = await sending.send(webhook(receiver.url))
        assert (result.status, result.error) == (307, AttemptError.REDIRECT)
        assert len(receiver.requests) == 1
    assert other.connections == 0


async def test_cookies_are_not_kept(receive, sender, webhook) -> None:
    receiver = await receive(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
    async with sender() as sending:
        for _ in range(2):
            assert (await sending.send(webhook(receiver.url))).succeeded
    assert not [name for request in receiver.requests for name, _ in request.headers if name == "cookie"]


async def test_proxies_of_the_environment_are_ignored(receive, sender, webhook, monkeypatch) -> None:
    proxy = await receive()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    receiver = await receive()
    async with sender() as sending:
        assert (await sending.send(webhook(receiver.url))).succeeded
    assert (receiver.connections, proxy.connections) == (1, 0)


async def test_nothing_is_sent_unsigned(receive, sender, webhook) -> None:
    receiver = await receive()
    async with sender() as sending:
        result = await sending.send(webhook(receiver.url, keys=()))
    assert result.error == AttemptError.SECRET
    assert receiver.connections == 0


@pytest.mark.parametrize("value", ["hunter2\r\nX: y", "hunter2\x00", "hunter2é"])
async def test_a_header_that_cannot_be_written_is_not_quoted(receive, sender, webhook, value) -> None:
    receiver = await receive()
    async with sender() as sending:
        sent = webhook(receiver.url, headers={"Authorization": value})
        result = await sending.send(sent)
    assert result.error == AttemptError.PROTOCOL
    assert "hunter2" not in str(result)
    assert "hunter2" not in repr(sent)
    assert receiver.requests == []


async def test_a_cancelled_attempt_is_cancelled_and_its_connection_closed(
    receive, sender, webhook, until
) -> None:
    async def never(receiver, reader, writer) -> None:
        await receiver.read(reader)
        await reader.read()

    receiver = await receive(never)
    async with sender() as sending:
        attempt = asyncio.create_task(sending.send(webhook(receiver.url)))
        await until(lambda: len(receiver.requests) == 1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await until(lambda: receiver.open == 0)


async def test_many_at_once_all_arrive_once(receive, sender, webhook) -> None:
    receiver = await receive()
    async with sender() as sending:
        results = await asyncio.gather(
            *(sending.send(webhook(receiver.url, webhook_id=f"msg_{number}")) for number in range(200))
        )
    assert all(result.succeeded for result in results)
    assert sorted(request.header("webhook-id") for request in receiver.requests) == sorted(
        f"msg_{number}" for number in range(200)
    )
