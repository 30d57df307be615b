"""Sending files to be taken in, as a gateway does, and looking at what became of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from stacks import Stack, eventually

from minoots.contracts import Chunk, Ingest, IngestAbout, IngestedFile, Source
from minoots_platform.clock import utc_now
from minoots_platform.ids import new_id
from minoots_platform.records import Database, ingests, sources, staging
from minoots_platform.records.ingests import SentFile
from minoots_platform.vault import Vault

PLENTY = 1 << 30


async def accept(
    database: Database,
    vault: Vault,
    tenant: str,
    files: Mapping[str, bytes | str],
    *,
    most_waiting: int = PLENTY,
    piece: int = staging.PIECE,
    **about: Any,
) -> Ingest:
    """Keep files without telling the engine."""
    now = utc_now()
    ingest_id = new_id("ing", now)
    sent = []
    for place, (name, content) in enumerate(files.items(), start=1):
        data = content.encode() if isinstance(content, str) else content
        for number, begin in enumerate(range(0, len(data), piece)):
            sealed = vault.encrypt(data[begin : begin + piece])
            async with database.write() as connection:
                await staging.keep(
                    connection, tenant, ingest_id, file=place, number=number, sealed=sealed, now=now
                )
        sent.append(SentFile(name, None, len(data), hashlib.sha256(data).hexdigest()))
    async with database.write() as connection:
        return await ingests.accept(
            connection,
            tenant,
            ingest_id,
            sent,
            IngestAbout(**about),
            most_waiting=most_waiting,
            now=now,
            actor="test",
            traceparent=None,
        )


async def send(stack: Stack, files: Mapping[str, bytes | str], **about: Any) -> Ingest:
    """Send files and hand them over."""
    ingest = await accept(stack.database, stack.vault, stack.tenant, files, **about)
    assert await stack.handover.ingest(ingest.id)
    return ingest


async def ended(stack: Stack, ingest: Ingest) -> tuple[Ingest, list[IngestedFile]]:
    """The ingest once it has ended, and what became of its files."""

    async def look() -> Ingest:
        async with stack.database.read() as connection:
            return await ingests.get(connection, stack.tenant, ingest.id)

    done = await eventually(look, lambda seen: seen.state.final, timeout=60)
    return done, await files_of(stack.database, stack.tenant, ingest.id)


async def taken(stack: Stack, files: Mapping[str, bytes | str], **about: Any) -> list[IngestedFile]:
    """Send files, and return what became of them."""
    return (await ended(stack, await send(stack, files, **about)))[1]


async def files_of(database: Database, tenant: str, ingest_id: str) -> list[IngestedFile]:
    """What became of the files of an ingest."""
    async with database.read() as connection:
        page = await ingests.files(connection, tenant, ingest_id, states=(), after=0, limit=5000)
    return list(page.items)


async def source_named(database: Database, tenant: str, name: str) -> Source:
    """A source by its name."""
    async with database.read() as connection:
        return await sources.get(connection, tenant, ingests.source_id(tenant, name))


async def chunks_of(
    database: Database, tenant: str, name: str, version: int | None = None
) -> tuple[Chunk, ...]:
    """The chunks of a source."""
    id = ingests.source_id(tenant, name)
    async with database.read() as connection:
        page = await sources.chunks(connection, tenant, id, version=version, after=0, limit=100_000)
    return page.items


async def text_of(database: Database, tenant: str, name: str, version: int | None = None) -> str:
    """The text of a source: its chunks, one after the other."""
    return "".join(chunk.text for chunk in await chunks_of(database, tenant, name, version))
