"""What a machine writes to its console: taken as it comes, and only the end of it is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

MOST: Final = 64 * 1024
"""Bytes that are kept: the last ones, which say why a machine ended."""
_PIECE: Final = 64 * 1024


class Console:
    """The end of what comes from a stream.

    Taken for as long as there is something: a machine whose console is full would stand still, and a file
    would grow until the host's disk is full.
    """

    def __init__(self, stream: asyncio.StreamReader, most: int = MOST) -> None:
        self._kept = bytearray()
        self._most = most
        self._reading = asyncio.create_task(self._read(stream), name="console of a machine")

    def text(self, most: int = MOST) -> str:
        """Return the last ``most`` bytes of it, as text."""
        return bytes(self._kept[-most:]).decode(errors="replace") if most else ""

    async def end(self, within: float = 5.0) -> None:
        """Take what is left of a machine that has ended; wait for it no longer than ``within`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await asyncio.shield(self._reading)
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(_PIECE):
            self._kept += data
            del self._kept[: -self._most]
