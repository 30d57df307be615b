"""What a program of a sandbox reads and writes: the host's ends of its pipes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, TypeAlias

from .port import Output, Stream

_PIECE: Final = 65536
GRACE: Final = 10.0
"""Seconds in which killed processes are gone, and their pipes at an end."""

Moving: TypeAlias = list[asyncio.Task[None]]
"""What moves these bytes: first what is read, then what is written."""


class Reader:
    """Takes what a program writes, up to a limit of both streams together."""

    def __init__(self, output: Output, most: int) -> None:
        self._output = output
        self._left = most
        self.over = asyncio.Event()

    async def read(self, name: Stream, fd: int) -> None:
        """Hand on what comes from ``fd`` until its end, and close it."""
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader(limit=_PIECE)
        file = os.fdopen(fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), file)
        try:
            while data := await stream.read(_PIECE):
                kept, self._left = data[: self._left], self._left - len(data)
                if kept:
                    await self._output(name, kept)
                if self._left < 0:
                    self._left = 0
                    self.over.set()
        finally:
            transport.close()


async def feed(fd: int, data: bytes, source: AsyncIterator[bytes] | None) -> None:
    """Write ``data``, and then what comes, for a program to read; close it at the end."""
    file = os.fdopen(fd, "wb", buffering=0)
    if not data and source is None:
        file.close()
        return
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        writer.write(data)
        # A program may well end without having read all of it.
        with suppress(BrokenPipeError, ConnectionResetError):
            await writer.drain()
            async for piece in source or _nothing():
                writer.write(piece)
                await writer.drain()
    finally:
        writer.close()


async def _nothing() -> AsyncIterator[bytes]:
    """Yield nothing."""
    return
    yield b""


async def finished(moving: Moving) -> None:
    """Wait until everything that was written is taken; nobody holds the pipes any more."""
    done, late = await asyncio.wait(moving, timeout=GRACE) if moving else (set(), set())
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    for task in late:
        task.cancel()
