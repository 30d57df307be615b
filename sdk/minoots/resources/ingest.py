"""``client.ingest`` and ``client.sources``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.ingest import Chunk, Ingest, IngestedFile, Source, SourceVersion
from minoots.engine import Engine
from minoots.operations import ingest
from minoots.operations.ingest import About, Content
from minoots.waiting import until_final


class Ingests:
    """Take files and texts in, and see what became of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def send(self, files: Mapping[str, Content], **fields: Unpack[About]) -> Ingest:
        """Take files and texts in: ``send({"notes/tea.md": "# Tea", "paper.pdf": Path("paper.pdf")})``.

        The name of each is that of its source: the same name with other content is a new version. Takes
        ``labels``, ``metadata``, ``about`` and ``idempotency_key``, too (see `minoots.operations.ingest`).
        """
        return self._engine.call(ingest.send(files, fields))

    def list(self, *, state: Sequence[str] = ()) -> Iterator[Ingest]:
        """Yield ingests, the newest first."""
        return self._engine.items(ingest.listing(state))

    def get(self, ingest_id: str) -> Ingest:
        """Return one with how far it is."""
        return self._engine.call(ingest.read(ingest_id))

    def files(self, ingest_id: str, *, state: Sequence[str] = ()) -> Iterator[IngestedFile]:
        """Yield the files of one in order, and what became of each."""
        return self._engine.items(ingest.files(ingest_id, state))

    def cancel(self, ingest_id: str) -> Ingest:
        """Take in no more of its files; what was taken in stays."""
        return self._engine.call(ingest.cancel(ingest_id))

    def wait(self, ingest_id: str, *, timeout: float | None = None) -> Ingest:
        """Return the ingest once every file of it was seen to.

        Raises:
            WaitTimeout: they were not after ``timeout`` seconds.
        """
        read = partial(ingest.read, ingest_id)
        return self._engine.run(until_final(self._engine.connection, ingest_id, read, timeout))


class Sources:
    """Read and remove files and texts that were taken in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, *, prefix: str | None = None) -> Iterator[Source]:
        """Yield sources whose names begin with ``prefix``, those that changed last first."""
        return self._engine.items(ingest.sources(prefix))

    def get(self, source_id: str) -> Source:
        """Return one as its newest version is."""
        return self._engine.call(ingest.source(source_id))

    def versions(self, source_id: str) -> Iterator[SourceVersion]:
        """Yield its versions, the newest first."""
        return self._engine.items(ingest.versions(source_id))

    def chunks(self, source_id: str, *, version: int | None = None) -> Iterator[Chunk]:
        """Yield the chunks of a version, or of the newest: one after the other, they are the whole text."""
        return self._engine.items(ingest.chunks(source_id, version))

    def remove(self, source_id: str) -> None:
        """Remove one with all of its versions, for good."""
        self._engine.call(ingest.remove(source_id))


class AsyncIngests:
    """Take files and texts in, and see what became of them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def send(self, files: Mapping[str, Content], **fields: Unpack[About]) -> Ingest:
        """Take files and texts in: ``send({"notes/tea.md": "# Tea", "paper.pdf": Path("paper.pdf")})``.

        The name of each is that of its source: the same name with other content is a new version. Takes
        ``labels``, ``metadata``, ``about`` and ``idempotency_key``, too (see `minoots.operations.ingest`).
        """
        return await self._engine.call(ingest.send(files, fields))

    def list(self, *, state: Sequence[str] = ()) -> AsyncIterator[Ingest]:
        """Yield ingests, the newest first."""
        return self._engine.items(ingest.listing(state))

    async def get(self, ingest_id: str) -> Ingest:
        """Return one with how far it is."""
        return await self._engine.call(ingest.read(ingest_id))

    def files(self, ingest_id: str, *, state: Sequence[str] = ()) -> AsyncIterator[IngestedFile]:
        """Yield the files of one in order, and what became of each."""
        return self._engine.items(ingest.files(ingest_id, state))

    async def cancel(self, ingest_id: str) -> Ingest:
        """Take in no more of its files; what was taken in stays."""
        return await self._engine.call(ingest.cancel(ingest_id))

    async def wait(
        self,
        ingest_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as of timers
    ) -> Ingest:
        """Return the ingest once every file of it was seen to.

        Raises:
            WaitTimeout: they were not after ``timeout`` seconds.
        """
        read = partial(ingest.read, ingest_id)
        return await self._engine.run(until_final(self._engine.connection, ingest_id, read, timeout))


class AsyncSources:
    """Read and remove files and texts that were taken in."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def list(self, *, prefix: str | None = None) -> AsyncIterator[Source]:
        """Yield sources whose names begin with ``prefix``, those that changed last first."""
        return self._engine.items(ingest.sources(prefix))

    async def get(self, source_id: str) -> Source:
        """Return one as its newest version is."""
        return await self._engine.call(ingest.source(source_id))

    def versions(self, source_id: str) -> AsyncIterator[SourceVersion]:
        """Yield its versions, the newest first."""
        return self._engine.items(ingest.versions(source_id))

    def chunks(self, source_id: str, *, version: int | None = None) -> AsyncIterator[Chunk]:
        """Yield the chunks of a version, or of the newest: one after the other, they are the whole text."""
        return self._engine.items(ingest.chunks(source_id, version))

    async def remove(self, source_id: str) -> None:
        """Remove one with all of its versions, for good."""
        await self._engine.call(ingest.remove(source_id))
