"""The event log over HTTP: pages, and a stream that can be resumed."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from gateways import Door
from stacks import eventually

from minoots.contracts import EventType
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, events
from minoots_platform.records.events import NewEvent
from minoots_platform.settings import Settings, with_overrides

TENANT = "dev"


@pytest.fixture
def settings() -> Settings:
    """Streams that lose their patience quickly."""
    return with_overrides(
        Settings(),
        {
            "environment": "dev",
            "gateway": {"allow_dev_tenant": True, "stream_heartbeat": 0.1, "stream_send_timeout": 1.5},
            "flags": {"provider": "none"},
        },
    )


async def happen(database: Database, *subjects: str, **fields: Any) -> None:
    """Write an event for each subject."""
    async with database.write() as connection:
        for subject in subjects:
            new = NewEvent(
                EventType.TIMER_SCHEDULED, subject, utc_now(), **({"data": {"s": subject}} | fields)
            )
            await events.append(connection, TENANT, [new])


class Stream:
    """Frames of an open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def frame(self) -> dict[str, str]:
        """The next frame: its fields; comments under an empty name."""
        found: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                if not line:
                    return found
                name, _, value = line.partition(":")
                found[name] = value.strip()
        raise AssertionError("the stream ended")

    async def event(self) -> dict[str, str]:
        """The next frame that is an event."""
        while True:
            frame = await self.frame()
            if "event" in frame:
                return frame


@asynccontextmanager
async def streaming(
    door: Door, headers: dict[str, str] | None = None, **params: Any
) -> AsyncIterator[Stream]:
    """An open stream."""
    async with door.http.stream("GET", "/v1/events/stream", params=params, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def test_pages_go_on_after_a_number(door: Door) -> None:
    await happen(door.gateway.database, *"abcde")
    first = (await door.http.get("/v1/events", params={"limit": 2})).json()
    assert [event["subject"] for event in first["items"]] == ["a", "b"]
    rest = (await door.http.get("/v1/events", params={"after": first["next_cursor"]})).json()
    assert [event["sequence"] for event in rest["items"]] == [3, 4, 5]
    assert rest["next_cursor"] is None


async def test_pages_are_filtered(door: Door) -> None:
    await happen(door.gateway.database, "a")
    await happen(door.gateway.database, "b", labels={"team": "ops: night"})
    for params in ({"subject": "b"}, {"label": "team:ops: night"}):
        found = (await door.http.get("/v1/events", params=params)).json()["items"]
        assert [event["subject"] for event in found] == ["b"]
    assert (await door.http.get("/v1/events", params={"type": "timer.fired"})).json()["items"] == []
    assert (await door.http.get("/v1/events", params={"type": "no.such"})).status_code == 422


async def test_a_stream_shows_what_happens_from_now_on(door: Door) -> None:
    await happen(door.gateway.database, "before")
    async with streaming(door) as stream:
        opening = await stream.frame()
        assert opening["id"] == "1"
        assert "event" not in opening
        await happen(door.gateway.database, "after")
        frame = await stream.event()
        assert (frame["id"], frame["event"]) == ("2", "timer.scheduled")
        assert json.loads(frame["data"])["subject"] == "after"


async def test_a_stream_resumes_where_it_was_left(door: Door) -> None:
    await happen(door.gateway.database, *"abcdef")
    async with streaming(door, after=0) as stream:
        assert [(await stream.event())["id"] for _ in range(3)] == ["1", "2", "3"]
    async with streaming(door, headers={"Last-Event-ID": "3"}) as stream:
        assert [(await stream.event())["id"] for _ in range(3)] == ["4", "5", "6"]


async def test_a_filtered_stream_passes_over_the_rest(door: Door) -> None:
    async with streaming(door, subject="b") as stream:
        await stream.frame()
        await happen(door.gateway.database, *"aaabaa")
        assert (await stream.event())["id"] == "4"
        # A heartbeat tells how far the log was looked through.
        while (await stream.frame()).get("id") != "6":
            continue


async def test_events_of_another_process_arrive_too(door: Door, database_url: str) -> None:
    async with streaming(door) as stream, Database(database_url) as other:
        await stream.frame()
        await happen(other, "elsewhere")
        assert json.loads((await stream.event())["data"])["subject"] == "elsewhere"


async def test_a_quiet_stream_shows_that_it_lives(door: Door) -> None:
    async with streaming(door) as stream:
        await stream.frame()
        assert (await stream.frame())[""] == "alive"


async def test_a_reader_that_takes_nothing_is_cut_and_told_where_to_resume(door: Door) -> None:
    fat = {"text": "x" * 30_000}
    async with door.gateway.database.write() as connection:
        new = [NewEvent(EventType.TIMER_SCHEDULED, f"s{number}", utc_now(), fat) for number in range(400)]
        await events.append(connection, TENANT, new)
    host, port = httpx.URL(door.url).host, httpx.URL(door.url).port
    assert port is not None
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, (host, port))
    request = f"GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    await loop.sock_sendall(plain, request.encode())

    async def streams() -> int:
        return door.gateway.telemetry.registry.get_sample_value("minoots_events_subscribers") or 0

    await eventually(streams, lambda open_streams: open_streams == 1)
    await asyncio.sleep(2)  # longer than the patience, shorter than twice of it
    received = b""
    async with asyncio.timeout(30):
        while chunk := await loop.sock_recv(plain, 1 << 20):
            received += chunk
    plain.close()
    text = received.decode(errors="replace")
    assert "event: cut" in text
    cut = json.loads(text.rsplit("event: cut", 1)[1].split("data: ", 1)[1].splitlines()[0])
    position = cut["resume_from"]
    assert 0 < position < 400
    assert text.count("event: timer.scheduled") <= position
    async with streaming(door, after=position) as stream:
        assert (await stream.event())["id"] == str(position + 1)


async def test_a_stream_ends_politely_when_the_gateway_goes(door: Door) -> None:
    async with streaming(door) as stream:
        await stream.frame()
        door.gateway.stopping.set()
        door.gateway.tailer.stop()
        frame = await stream.event()
        assert frame["event"] == "closing"


@pytest.mark.parametrize("value", ["x", "-1", "9" * 25])
async def test_a_wrong_place_to_resume_from_is_refused(door: Door, value: str) -> None:
    answer = await door.http.get("/v1/events/stream", headers={"Last-Event-ID": value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.Last-Event-ID"
