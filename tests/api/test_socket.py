"""The feed over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateways import Door
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from minoots.contracts import EventType
from minoots_api.events import tailer
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import api_keys, events
from minoots_platform.records.events import NewEvent
from minoots_platform.settings import Settings, with_overrides

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
def settings() -> Settings:
    """Quick heartbeats and little patience."""
    return with_overrides(
        Settings(),
        {
            "environment": "dev",
            "gateway": {"allow_dev_tenant": True, "stream_heartbeat": 0.2, "stream_send_timeout": 1.0},
            "flags": {"provider": "none"},
            "delivery": {"allowed_networks": ["127.0.0.0/8"]},
        },
    )


class Reader:
    """A client's side of one connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """The next message of one of these types; others are passed over."""
        async with asyncio.timeout(20):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                if message["type"] in kinds:
                    return message

    async def events(self, count: int, name: str = "a") -> list[dict[str, Any]]:
        """The next so many events of a subscription."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            message = await self.hear("events")
            if message["id"] == name:
                found += message["events"]
        return found


@asynccontextmanager
async def reading(door: Door, **options: Any) -> AsyncIterator[Reader]:
    """A connection that was let in."""
    url = door.url.replace("http", "ws") + "/v1/ws"
    async with connect(url, compression=None, **options) as socket:
        reader = Reader(socket)
        await reader.hear("welcome")
        yield reader


async def append(door: Door, count: int, subject: str = "s", **data: Any) -> None:
    new = [NewEvent(EventType.TIMER_FIRED, f"{subject}{number}", utc_now(), data) for number in range(count)]
    async with door.gateway.database.write() as connection:
        await events.append(connection, "dev", new)
    door.gateway.tailer.look()


async def key_of(door: Door, *scopes: Scope, acts_as: str | None = None) -> str:
    async with door.gateway.database.write() as connection:
        _, secret = await api_keys.create(
            connection, "dev", "k", scopes, now=utc_now(), expires_at=None, acts_as=acts_as
        )
    return secret


async def test_events_come_as_they_happen_and_from_any_number_on(door: Door) -> None:
    await append(door, 5)
    async with reading(door) as reader:
        await reader.say(type="subscribe", id="a", after=2)
        assert (await reader.hear("subscribed"))["position"] == 2
        assert [one["sequence"] for one in await reader.events(3)] == [3, 4, 5]
        await append(door, 2)
        assert [one["sequence"] for one in await reader.events(2)] == [6, 7]


async def test_subscriptions_are_filtered_and_ended(door: Door) -> None:
    async with reading(door) as reader:
        await reader.say(type="subscribe", id="a", subject="s1")
        await reader.say(type="subscribe", id="b", types=["timer.failed"])
        await reader.hear("subscribed")
        await reader.hear("subscribed")
        await append(door, 3)
        [event] = await reader.events(1)
        assert event["subject"] == "s1"
        assert (await reader.hear("alive"))["position"] == 3
        await reader.say(type="unsubscribe", id="a")
        await reader.hear("unsubscribed")
        await append(door, 3)
        await reader.say(type="ping")
        heard = await reader.hear("pong", "events")
        assert heard["type"] == "pong", "nothing more of a"


async def test_heartbeats_go_both_ways(door: Door) -> None:
    async with reading(door) as reader:
        await reader.say(type="subscribe", id="a")
        assert (await reader.hear("alive"))["id"] == "a"
        await reader.say(type="ping")
        await reader.hear("pong")
        await (await reader.socket.ping())


async def test_a_key_comes_in_a_header_or_in_the_first_message(door: Door) -> None:
    secret = await key_of(door, Scope.EVENTS_READ)
    async with reading(door, additional_headers={"Authorization": f"Bearer {secret}"}) as reader:
        await reader.say(type="subscribe", id="a")
        await reader.hear("subscribed")
    url = door.url.replace("http", "ws") + "/v1/ws"
    # From behind a proxy nobody is local.
    async with connect(url, additional_headers={"X-Forwarded-For": "192.0.2.1"}) as socket:
        reader = Reader(socket)
        await reader.say(type="authenticate", key=secret)
        await reader.hear("welcome")
        await reader.say(type="snooze", id="x", timer="tmr_1", after="1m")
        refused = await reader.hear("error")
        assert (refused["id"], refused["problem"]["kind"]) == ("x", "denied")


@pytest.mark.parametrize(
    ("headers", "first"),
    [
        ({"Authorization": "Bearer mnt_nonsense"}, None),
        ({"X-Forwarded-For": "192.0.2.1"}, {"type": "authenticate", "key": "mnt_nonsense"}),
        ({"X-Forwarded-For": "192.0.2.1"}, {"type": "subscribe", "id": "a"}),
        ({"Origin": "https://evil.example"}, {"type": "ping"}),
    ],
)
async def test_nobody_gets_in_without_a_key(
    door: Door, headers: dict[str, str], first: dict[str, Any] | None
) -> None:
    url = door.url.replace("http", "ws") + "/v1/ws"
    async with connect(url, additional_headers=headers) as socket:
        reader = Reader(socket)
        if first is not None:
            await reader.say(**first)
        assert (await reader.hear("error"))["problem"]["kind"] == "unauthenticated"
        with pytest.raises(ConnectionClosed):
            await reader.hear("welcome")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "cannot be read"),
        ("[]", "not valid"),
        ('{"type": "fly"}', "not valid"),
        ('{"type": "subscribe", "id": ""}', "not valid"),
        ('{"type": "subscribe", "id": "a", "surprise": 1}', "not valid"),
        ('{"type": "subscribe", "id": "a\\u0000"}', "NUL"),
        ('{"type": "subscribe", "id": "' + "x" * 70_000 + '"}', "at most 65536"),
        ("[" * 60_000, "cannot be read"),
        ('{"type": "authenticate", "key": "mnt_x"}', "has its key already"),
    ],
)
async def test_what_is_no_message_gets_a_problem_and_the_connection_lives(
    door: Door, text: str, told: str
) -> None:
    async with reading(door) as reader:
        await reader.socket.send(text)
        assert told in (await reader.hear("error"))["problem"]["detail"]
        await reader.say(type="ping")
        await reader.hear("pong")


async def test_a_timer_is_snoozed_and_an_escalation_acknowledged(door: Door) -> None:
    body = {"name": "t", "after": "1h", "actions": [{"url": HOOK}]}
    timer = (await door.http.post("/v1/timers", json=body)).json()
    ladder = {"rungs": [{"targets": [{"url": HOOK}]}]}
    escalation = (await door.http.post("/v1/escalations", json={"name": "e", "ladder": ladder})).json()
    async with reading(door) as reader:
        await reader.say(type="snooze", id="1", timer=timer["id"], after="2h")
        done = await reader.hear("done")
        assert (done["id"], done["answer"]["generation"]) == ("1", 2)
        await reader.say(type="acknowledge", id="2", target=escalation["id"], by="person:ada", result=7)
        done = await reader.hear("done")
        assert (done["answer"]["state"], done["answer"]["acts"][0]["via"]) == ("acknowledged", "socket")
        await reader.say(type="acknowledge", id="3", target="esc_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK")
        assert (await reader.hear("error"))["problem"]["kind"] == "not_found"
    bound = await key_of(door, Scope.ESCALATIONS_WRITE, acts_as="person:bob")
    async with reading(door, additional_headers={"Authorization": f"Bearer {bound}"}) as reader:
        await reader.say(type="acknowledge", id="4", target=escalation["id"], by="person:ada")
        assert (await reader.hear("error"))["problem"]["kind"] == "denied"


async def test_a_reader_that_falls_behind_is_told_and_loses_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailer, "RING", 200)
    async with reading(door) as reader:
        await reader.say(type="subscribe", id="a")
        await reader.hear("subscribed")
        await append(door, 1)
        assert len(await reader.events(1)) == 1
        # More than the socket holds and the ring keeps, while nobody takes anything.
        reader.socket.transport.pause_reading()
        for _ in range(10):
            await append(door, 150, text="x" * 4000)
            await asyncio.sleep(0.02)
        reader.socket.transport.resume_reading()
        found, lagged = 1, False
        while found < 1501:
            message = await reader.hear("events", "lagged")
            lagged |= message["type"] == "lagged"
            for event in message.get("events", ()):
                found += 1
                assert event["sequence"] == found, "in order, none left out"
        assert lagged


async def test_a_reader_that_takes_nothing_is_cut_and_the_others_lose_nothing(door: Door) -> None:
    async with reading(door) as stalled, reading(door) as quick:
        for reader in (stalled, quick):
            await reader.say(type="subscribe", id="a")
            await reader.hear("subscribed")
        stalled.socket.transport.pause_reading()
        for _ in range(30):
            await append(door, 50, text="x" * 8000)
        assert [one["sequence"] for one in await quick.events(1500)] == list(range(1, 1501))
        await asyncio.sleep(2)
        stalled.socket.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            await stalled.hear("never")


async def test_a_gateway_that_stops_says_where_to_resume(door: Door) -> None:
    await append(door, 3)
    async with reading(door) as reader:
        await reader.say(type="subscribe", id="a", after=0)
        await reader.events(3)
        door.gateway.stopping.set()
        door.gateway.tailer.stop()
        assert (await reader.hear("closing"))["resume_from"] == {"a": 3}
