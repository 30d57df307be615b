"""`IngestPort`: files that were sent are read in processes of their own, and kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Final

import anyio
from anyio import to_process
from temporalio import activity

from minoots.contracts import Chunk, FileState
from minoots_platform.clock import Clock
from minoots_platform.records import Database, ingests, staging, taking_in
from minoots_platform.records.taking_in import FileToTake, Text
from minoots_platform.telemetry import audit, get_logger
from minoots_platform.vault import Vault
from minoots_workflows.ingest.contracts import FileDue, FileTaken, IngestBatch
from minoots_workflows.ingest.port import IngestPort
from minoots_workflows.pacing import Subject

from .extractors import Unreadable, pick
from .extractors.installed import HEAD
from .reading import Plan, Taken, read

_BATCH: Final = 50
"""Files that a workflow is told of at a time: a history stays short, and a look at it says something."""
_PART: Final = 256 * 1024
"""Characters of chunks in one transaction, for others wait for each."""
_BEAT: Final = 1.0


class Ingests(IngestPort):
    """Ingests, on the records.

    Args:
        database: the records.
        vault: what the pieces are sealed with.
        plan: how files are read.
        at_once: files of one ingest that are taken in at a time.
        processes: files that this worker reads at a time, each in a process of its own.
        clock: the time.
    """

    def __init__(
        self, database: Database, vault: Vault, plan: Plan, clock: Clock, *, at_once: int, processes: int
    ) -> None:
        self._database = database
        self._vault = vault
        self._plan = plan
        self._clock = clock
        self._at_once = at_once
        self._turns = anyio.CapacityLimiter(processes)
        self._log = get_logger("minoots.ingest")

    @activity.defn(name="ingest.next")
    async def next(self, ingest: Subject) -> IngestBatch:
        """Tell which files are next; end the ingest when none is."""
        async with self._database.write() as connection:
            state, files, waiting = await ingests.advance(
                connection, ingest.tenant, ingest.id, limit=_BATCH, now=self._clock()
            )
        return IngestBatch(state=state, files=files, waiting=waiting, at_once=self._at_once)

    @activity.defn(name="ingest.take")
    async def take(self, file: FileDue) -> FileTaken:
        """Take one file in. What cannot be read is no error here: it is told in the records."""
        async with self._database.read() as connection:
            found = await taking_in.file(connection, file.tenant, file.ingest_id, file.number)
        if not isinstance(found, FileToTake):
            return FileTaken(state=found or FileState.CANCELLED)
        async with _beating():
            state = await self._take(found)
        return FileTaken(state=state)

    async def _take(self, file: FileToTake) -> FileState:
        try:
            while True:
                text, media_type = await self._text(file)
                async with self._database.write() as connection:
                    done = await taking_in.settle(
                        connection,
                        file,
                        text,
                        media_type=media_type,
                        default_title=PurePosixPath(file.name).name or file.name,
                        now=self._clock(),
                    )
                if done is not None:
                    return done
        except Unreadable as unreadable:
            self._log.info("ingest.unreadable", ingest_id=file.ingest_id, number=file.number)
            async with self._database.write() as connection:
                return await taking_in.fail(
                    connection, file, unreadable.problem, unreadable.remedy, self._clock()
                )

    async def _text(self, file: FileToTake) -> tuple[str, str]:
        """Return the id of the file's text, which is kept with all of its chunks afterwards, and its kind.

        Raises:
            Unreadable: when there is none.
        """
        head = (await self._bytes(file, HEAD))[:HEAD]
        extractor, media_type = pick(file.about["media_type"], file.about["sent_as"], file.name, head)
        pipeline = self._plan.pipeline(extractor)
        text = taking_in.text_id(file.tenant, file.sha256, pipeline)
        async with self._database.read() as connection:
            if await taking_in.is_known(connection, text):
                return text, media_type
        # In turn from here on: a large file is in memory until its text is kept.
        async with self._turns:
            data = await self._bytes(file)
            if len(data) != file.bytes or hashlib.sha256(data).hexdigest() != file.sha256:
                # Cancelled or seen to by another meanwhile; then nobody looks at what is told here.
                raise Unreadable("what was sent is not there any more", "Send it again.")
            taken = await self._read(extractor.name, data)
            await self._keep(file, text, pipeline, taken)
        return text, media_type

    async def _keep(self, file: FileToTake, text: str, pipeline: str, taken: Taken) -> None:
        self._tell_of_secrets(file, taken)
        known = Text(
            title=taken.title,
            characters=taken.characters,
            chunks=len(taken.chunks),
            redacted=sum(taken.redacted.values()),
            found=dict(taken.found),
        )
        async with self._database.write() as connection:
            await taking_in.begin_text(connection, text, file, pipeline, known, self._clock())
        for part in _parts(taken.chunks):
            async with self._database.write() as connection:
                if not await taking_in.keep_chunks(connection, text, part):
                    return

    async def _read(self, extractor: str, data: bytes) -> Taken:
        plan = self._plan
        try:
            with anyio.fail_after(plan.seconds):
                # A limiter of its own for each: turns are taken already.
                return await to_process.run_sync(
                    read, extractor, data, plan, cancellable=True, limiter=anyio.CapacityLimiter(1)
                )
        except TimeoutError:
            problem = f"reading it takes longer than {plan.seconds:g} s"
            raise Unreadable(problem, "Divide it, or raise ingest.read_seconds.") from None
        except anyio.BrokenWorkerProcess as broken:
            # Killed by its limit or by the machine, or it crashed: it would again.
            self._log.warning("ingest.process_died", extractor=extractor, reason=repr(broken.__cause__))
            raise Unreadable(
                "the process that read it died, most likely for want of time or memory",
                "Divide it, or raise ingest.read_seconds and ingest.read_megabytes.",
            ) from broken

    async def _bytes(self, file: FileToTake, most: int | None = None) -> bytes:
        """Return what was sent, or its first piece when no more than ``most`` bytes are wanted."""
        data = bytearray()
        async for sealed in staging.pieces(self._database, file.tenant, file.ingest_id, file.number):
            data += await asyncio.to_thread(self._vault.decrypt, sealed)
            if most is not None and len(data) >= most:
                break
        return bytes(data)

    def _tell_of_secrets(self, file: FileToTake, taken: Taken) -> None:
        if taken.redacted:
            audit(
                "secrets.redacted",
                actor="ingest",
                tenant=file.tenant,
                decision="allow",
                ingest=file.ingest_id,
                number=file.number,
                mode=self._plan.policy.mode,
                rules=[{"rule": rule, "count": many} for rule, many in taken.redacted.items()],
            )


@asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Give signs of life, so that another worker takes over soon if this one dies."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


def _parts(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    part: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if part and size + len(chunk.text) > _PART:
            yield part
            part, size = [], 0
        part.append(chunk)
        size += len(chunk.text)
    if part:
        yield part
