"""Whoever was let in by a key that has ended since is let go, from streams and from sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from gateways import Door
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import api_keys

BOUND = 60.0


async def key_of(door: Door) -> tuple[str, str]:
    """A key that may do everything here: its id and its secret."""
    scopes = (Scope.EVENTS_READ, Scope.AGENTS_WRITE, Scope.JOBS_WRITE, Scope.TIMERS_WRITE)
    async with door.gateway.database.write() as connection:
        key, secret = await api_keys.create(
            connection, "dev", "k", scopes, now=utc_now(), expires_at=utc_now() + timedelta(hours=1)
        )
    return key.id, secret


async def revoke(door: Door, key_id: str) -> None:
    """End a key."""
    async with door.gateway.database.write() as connection:
        await api_keys.revoke(connection, key_id, now=utc_now())


async def path_of(door: Door, stream: str) -> str:
    """A stream that goes on for as long as nothing ends it."""
    if stream == "jobs":
        job = {"kind": "llm", "messages": [{"role": "user", "text": "hi"}]}
        return f"/v1/jobs/{(await door.http.post('/v1/jobs', json=job)).json()['id']}/events/stream"
    if stream == "agents":
        answer = await door.http.post("/v1/agents", json={"id": "ada"})
        assert answer.status_code == 200, answer.text
        return "/v1/agents/ada/commands/stream"
    return "/v1/events/stream"


async def lines_of(door: Door, path: str, secret: str, begun: asyncio.Event) -> list[str]:
    """All that a stream says, to its end."""
    headers = {"authorization": f"Bearer {secret}"}

    async def said() -> AsyncIterator[str]:
        async with door.http.stream("GET", path, headers=headers, timeout=None) as answer:
            # Whoever waits for its first line is not kept waiting by a stream that there is none of.
            begun.set()
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                yield line

    return [line async for line in said()]


@pytest.mark.parametrize("stream", ["jobs", "agents", "events"])
async def test_a_stream_ends_with_the_key_that_it_was_opened_with(door: Door, stream: str) -> None:
    path = await path_of(door, stream)
    key_id, secret = await key_of(door)
    begun = asyncio.Event()
    async with asyncio.timeout(BOUND):
        reading = asyncio.create_task(lines_of(door, path, secret, begun))
        await begun.wait()
        await revoke(door, key_id)
        lines = await reading
    assert "event: cut" in lines
    assert any("revoked" in line for line in lines), lines


async def test_a_key_that_expires_ends_its_streams_too_and_no_other_ones(door: Door) -> None:
    lasting, short = await key_of(door), await key_of(door)
    begun, other = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(BOUND):
        staying = asyncio.create_task(lines_of(door, "/v1/events/stream", lasting[1], other))
        going = asyncio.create_task(lines_of(door, "/v1/events/stream", short[1], begun))
        await asyncio.gather(begun.wait(), other.wait())
        async with door.gateway.database.write() as connection:
            table = api_keys.TABLE
            await connection.execute(
                sa.update(table).where(table.c.id == short[0]).values(expires_at=utc_now())
            )
        assert "event: cut" in await going
        assert not staying.done()
        await revoke(door, lasting[0])
        await staying


async def test_a_socket_takes_no_commands_of_a_key_that_has_ended(door: Door) -> None:
    key_id, secret = await key_of(door)
    url = door.url.replace("http", "ws") + "/v1/ws"
    headers = {"authorization": f"Bearer {secret}"}
    async with asyncio.timeout(BOUND), connect(url, compression=None, additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        await revoke(door, key_id)
        assert json.loads(await socket.recv())["type"] == "cut"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
