"""Telling what happens in a job while it happens: in few transactions, however much is written.

What is written is put together for a tenth of a second and then kept, so that a model that writes a hundred
tokens a second costs ten small transactions, and a history none.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import sqlalchemy as sa

from minoots.contracts import JobEventType
from minoots_platform.clock import Clock
from minoots_platform.records import Database, job_progress
from minoots_platform.records.job_progress import Begun, NewJobEvent
from minoots_platform.telemetry import get_logger

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
        self._keeping: list[NewJobEvent] = []
        self._size = 0
        self._cut = False
        self._writing = asyncio.Lock()
        self._log = get_logger("minoots.jobs")
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

    def note(self, kind: JobEventType, data: Mapping[str, Any]) -> None:
        """Tell of something else, with what is kept next."""
        self._waiting.append(NewJobEvent(kind, data))

    async def flush(self) -> None:
        """Keep what waits; what cannot be kept at the moment goes on waiting.

        Raises:
            SQLAlchemyError: the records are away.
        """
        async with self._writing:
            # What could not be kept the last time goes first.
            self._keeping += self._waiting
            self._waiting, self._size = [], 0
            while self._keeping:
                new = self._keeping[:_ROWS]
                kept = [one for one in new if one.type not in _CUT] if self._cut else new
                if kept:
                    await self._keep_whole(kept, len(new))
                else:
                    del self._keeping[: len(new)]

    async def _keep_whole(self, new: list[NewJobEvent], taken: int) -> None:
        """Keep events and let go of the first ``taken``: both or neither, also when this is cancelled."""
        keeping = asyncio.ensure_future(self._keep(new))
        try:
            await asyncio.shield(keeping)
        finally:
            await asyncio.wait([keeping])
            if keeping.exception() is None:
                del self._keeping[:taken]

    async def _keep(self, new: list[NewJobEvent]) -> None:
        async with self._database.write() as connection:
            told = await job_progress.append(connection, self._begun, new, self._clock())
            if told.bytes > self._most_bytes and not self._cut:
                self._cut = True
                left_out = {"cut": True, "reason": f"more than {self._most_bytes} bytes of events"}
                event = NewJobEvent(JobEventType.STATUS, left_out)
                await job_progress.append(connection, self._begun, [event], self._clock())
        if not told.goes_on:
            self.unwanted.set()

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Keep what is told, every now and then and at the end of the block."""
        over = asyncio.Event()

        async def often() -> None:
            # At least once, also for a block that fails before this has begun.
            ended = False
            while not ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY):
                        await over.wait()
                ended = over.is_set()
                try:
                    await self.flush()
                except (sa.exc.SQLAlchemyError, OSError) as error:
                    # It waits for the next time; whoever writes on and on waits with it.
                    self._log.warning("job.telling_failed", error=type(error).__name__)

        flushing = asyncio.create_task(often())
        try:
            yield
        finally:
            over.set()
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
