"""Telling what happens in a job while it happens: in few transactions, however much is written.

What is written is put together for a tenth of a second and then kept, so that a model that writes a hundred
tokens a second costs ten small transactions, and a history none.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from minoots.contracts import JobEventType
from minoots_platform.clock import Clock
from minoots_platform.records import Database, job_progress
from minoots_platform.records.job_progress import Begun, NewJobEvent

_EVERY: Final = 0.1
"""Seconds between two transactions of one job."""
_MOST: Final = 32 * 1024
"""Characters that are put together; whoever writes more waits for them to be kept."""
_ROWS: Final = 200
_CUT: Final = frozenset({JobEventType.LOG, JobEventType.TOKEN})


class Teller:
    """Tells of one attempt.

    Args:
        database: the records.
        begun: the attempt.
        clock: the time.
        most_bytes: of a job's events; beyond, what programs and models write is left out.
    """

    def __init__(self, database: Database, begun: Begun, clock: Clock, most_bytes: int) -> None:
        self._database = database
        self._begun = begun
        self._clock = clock
        self._most_bytes = most_bytes
        self._waiting: list[NewJobEvent] = []
        self._size = 0
        self._cut = False
        self._writing = asyncio.Lock()
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self.unwanted = asyncio.Event()
        """Set when the job is to stop, or another attempt has begun."""

    async def log(self, stream: str, data: bytes) -> None:
        """Tell what a program wrote; characters may be divided between two calls."""
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        if text:
            await self._text(JobEventType.LOG, {"stream": stream}, "text", text)

    async def token(self, text: str, *, thinking: bool = False) -> None:
        """Tell what a model wrote."""
        await self._text(JobEventType.TOKEN, {}, "thinking" if thinking else "text", text)

    async def tell(self, kind: JobEventType, data: Mapping[str, Any]) -> None:
        """Tell of something else, after what was written before."""
        self._waiting.append(NewJobEvent(kind, data))
        await self.flush()

    async def flush(self) -> None:
        """Keep what waits."""
        async with self._writing:
            new, self._waiting, self._size = self._waiting, [], 0
            if self._cut:
                new = [one for one in new if one.type not in _CUT]
            for first in range(0, len(new), _ROWS):
                async with self._database.write() as connection:
                    told = await job_progress.append(
                        connection, self._begun, new[first : first + _ROWS], self._clock()
                    )
                if not told.goes_on:
                    self.unwanted.set()
                if told.bytes > self._most_bytes and not self._cut:
                    self._cut = True
                    left_out = {"cut": True, "reason": f"more than {self._most_bytes} bytes of events"}
                    async with self._database.write() as connection:
                        event = NewJobEvent(JobEventType.STATUS, left_out)
                        await job_progress.append(connection, self._begun, [event], self._clock())

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Keep what is told, every now and then and at the end of the block."""

        async def often() -> None:
            while True:
                await asyncio.sleep(_EVERY)
                if self._waiting:
                    await self.flush()

        flushing = asyncio.create_task(often())
        try:
            yield
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        await self.flush()

    async def _text(self, kind: JobEventType, about: Mapping[str, Any], name: str, text: str) -> None:
        # Postgres has no NUL in its texts.
        text = text.replace("\x00", "\ufffd")
        last = self._waiting[-1] if self._waiting else None
        if (
            last is not None
            and last.type is kind
            and last.data.keys() == {*about, name}
            and all(last.data[key] == value for key, value in about.items())
        ):
            self._waiting[-1] = NewJobEvent(kind, {**about, name: last.data[name] + text})
        else:
            self._waiting.append(NewJobEvent(kind, {**about, name: text}))
        self._size += len(text)
        if self._size >= _MOST:
            await self.flush()
