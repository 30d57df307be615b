"""One feed, many readers: events a second over WebSockets, with one reader that takes nothing."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from minoots.contracts import EventType
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, events
from minoots_platform.records.events import NewEvent

from .figures import quantile

_SEQUENCE = re.compile(r'"sequence":(\d+)')
_SENT = re.compile(r'"sent":([0-9.]+)')
_STEP = 0.05


@dataclass(frozen=True)
class FanOut:
    """What the readers got, and how late, in milliseconds from before the event was written."""

    rate: float
    clients: int
    sent: int
    lost: int
    out_of_order: int
    p50: float
    p95: float
    stalled_cut: bool


async def measure(
    url: str, data_dir: Path, *, rate: int = 1000, clients: int = 100, seconds: int = 10
) -> FanOut:
    """Write ``rate`` events a second for a while and count what everybody gets."""
    count = rate * seconds
    sockets = [await _subscribed(url) for _ in range(clients)]
    stalled = await _subscribed(url)
    stalled.transport.pause_reading()
    reading = [asyncio.create_task(_read(socket, count)) for socket in sockets]
    began = time.perf_counter()
    async with Database(f"sqlite:///{data_dir / 'minoots.db'}") as database:
        for step in range(round(seconds / _STEP)):
            async with database.write() as connection:
                now = time.time()
                data = {"sent": now, "padding": "x" * 200}
                new = [
                    NewEvent(EventType.TIMER_UPDATED, f"bench{number}", utc_now(), data)
                    for number in range(round(rate * _STEP))
                ]
                await events.append(connection, "dev", new)
            await asyncio.sleep(max(0.0, began + (step + 1) * _STEP - time.perf_counter()))
    took = time.perf_counter() - began
    found = await asyncio.gather(*reading)
    lateness = sorted(found[0].lateness)
    cut = await _was_cut(stalled)
    await asyncio.gather(*(socket.close() for socket in sockets))
    return FanOut(
        rate=count / took,
        clients=clients,
        sent=count,
        lost=sum(count - one.count for one in found),
        out_of_order=sum(one.out_of_order for one in found),
        p50=quantile(lateness, 0.5),
        p95=quantile(lateness, 0.95),
        stalled_cut=cut,
    )


@dataclass
class _Got:
    count: int = 0
    out_of_order: int = 0
    lateness: tuple[float, ...] = ()


async def _subscribed(url: str) -> ClientConnection:
    socket = await connect(url.replace("http", "ws") + "/v1/ws", compression=None, max_size=None)
    await socket.recv()
    await socket.send(json.dumps({"type": "subscribe", "id": "a", "types": ["timer.updated"]}))
    await socket.recv()
    return socket


async def _read(socket: ClientConnection, count: int) -> _Got:
    got, last, lateness = _Got(), 0, []
    async with asyncio.timeout(120):
        while got.count < count:
            text = str(await socket.recv())
            arrived = time.time()
            # By pattern: parsing would cost the readers more than the gateway.
            for number in map(int, _SEQUENCE.findall(text)):
                got.count += 1
                got.out_of_order += last not in (0, number - 1)
                last = number
            lateness += [(arrived - float(sent)) * 1000 for sent in _SENT.findall(text)]
    got.lateness = tuple(lateness)
    return got


async def _was_cut(stalled: ClientConnection) -> bool:
    """Wait out the gateway's patience, then read what is left."""
    await asyncio.sleep(35)
    stalled.transport.resume_reading()
    try:
        async with asyncio.timeout(30):
            while True:
                await stalled.recv()
    except ConnectionClosed:
        return True
    except TimeoutError:
        return False
