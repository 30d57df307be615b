"""Connections of programs in a machine to the gate outside (ADR 20), over the machine's one port.

Owns what is under way: each connection has a bound each way, so that none holds up another, and a machine
that sends more than it may is let go. Where a connection may lead is the gate's business.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from minoots_activities.egress.gate import Gate
from minoots_activities.egress.requests import MOST_HEAD

from .frames import MOST_INPUT, MOST_PAYLOAD, Frame, Kind, ProtocolError, number_frame, number_of
from .rooms import Room

RELAYED: Final = frozenset({Kind.LISTENING, Kind.CONNECT, Kind.DATA, Kind.TAKEN, Kind.CLOSED})
_MOST_CONNECTIONS: Final = 64
"""As the guest accepts."""


@dataclass
class _Connection:
    """One of them.

    Attributes:
        pieces: what has come of the program and is not passed on yet; an empty one is its end.
        room: for what goes to it.
    """

    room: Room = field(default_factory=Room)
    pieces: deque[bytes] = field(default_factory=deque)
    held: int = 0
    ended: bool = False
    come: asyncio.Event = field(default_factory=asyncio.Event)


class Relay:
    """All connections of one machine.

    Args:
        gate: where they lead.
        send: tells the machine something.
        drain: waits until it has taken most of that, whatever it says of it.
    """

    def __init__(
        self, gate: Gate, send: Callable[[Frame], None], drain: Callable[[], Awaitable[None]]
    ) -> None:
        self._gate = gate
        self._send = send
        self._drain = drain
        self._open: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def hear(self, frame: Frame) -> None:
        """Take what the machine says of a connection; of one that is over it may still say something.

        Raises:
            ProtocolError: it says more than it may.
        """
        if frame.kind is Kind.CONNECT:
            self._accept(frame.run)
            return
        connection = self._open.get(frame.run)
        if connection is None:
            return
        match frame.kind:
            case Kind.DATA:
                self._take(connection, frame.payload)
            case Kind.TAKEN:
                connection.room.free(min(number_of(frame), MOST_INPUT))
            case Kind.CLOSED:
                self._take(connection, b"")

    def close(self) -> None:
        """End all of them."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """End all of them and wait for that."""
        self.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, number: int) -> None:
        if number in self._open:
            raise ProtocolError("a machine has two connections of one number")
        if self._closed or len(self._open) >= _MOST_CONNECTIONS:
            self._send(Frame(Kind.CLOSED, number, b""))
            return
        connection = self._open[number] = _Connection()
        task = asyncio.create_task(self._carry(number, connection), name="connection of a machine")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, connection: _Connection, data: bytes) -> None:
        if connection.ended:
            return
        connection.held += len(data)
        if connection.held > MOST_INPUT:
            raise ProtocolError("a machine sends more of a connection than it may")
        connection.ended = not data
        connection.pieces.append(data)
        connection.come.set()

    async def _carry(self, number: int, connection: _Connection) -> None:
        ours, theirs = socket.socketpair()
        beside: list[asyncio.Task[None]] = []
        ways: list[asyncio.StreamWriter] = []
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            ways.append(writer)
            inner = await asyncio.open_connection(sock=theirs, limit=MOST_HEAD)
            ways.append(inner[1])
            beside.append(asyncio.create_task(self._gate.take(*inner)))
            beside.append(asyncio.create_task(self._up(number, connection, writer)))
            while data := await reader.read(MOST_PAYLOAD):
                await connection.room.take(len(data))
                self._send(Frame(Kind.DATA, number, data))
                await self._drain()
        except OSError:
            # The gate is closed: so is the connection.
            pass
        finally:
            self._open.pop(number, None)
            self._send(Frame(Kind.CLOSED, number, b""))
            # Before anything is waited for: this may be cancelled again.
            for task in beside:
                task.cancel()
            for way in ways:
                way.transport.abort()
            for end in (ours, theirs):
                end.close()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _up(self, number: int, connection: _Connection, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                while not connection.pieces:
                    connection.come.clear()
                    await connection.come.wait()
                data = connection.pieces.popleft()
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
                connection.held -= len(data)
                self._send(number_frame(Kind.TAKEN, number, len(data)))
        except OSError:
            # The other direction ends with it.
            writer.transport.abort()
