"""``/v1/sources``: files and texts that were taken in, to read and to remove."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from minoots.contracts import Chunk, Page, Source, SourceVersion
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, Limit, Text, known_form, number_of
from minoots_api.principals import SourcesReader, SourcesWriter
from minoots_api.routing import Router
from minoots_platform.records import sources

router = Router(prefix="/v1/sources", tags=["ingest"])


def source_id(id: Annotated[str, Path(examples=["src_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of a source from the path."""
    return known_form(id, "src", "source")


SourceId = Annotated[str, Depends(source_id)]


@router.get("", response_model=Page[Source])
async def list_sources(
    gateway: Here,
    principal: SourcesReader,
    prefix: Annotated[
        Text | None, Query(min_length=1, max_length=1024, description="What their names begin with: docs/")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Source]:
    """List sources, those that changed last first."""
    async with gateway.database.read() as connection:
        return await sources.page(connection, principal.tenant, prefix=prefix, limit=limit, cursor=cursor)


@router.get("/{id}", response_model=Source)
async def get_source(source_id: SourceId, gateway: Here, principal: SourcesReader) -> Source:
    """Get a source as its newest version is."""
    async with gateway.database.read() as connection:
        return await sources.get(connection, principal.tenant, source_id)


@router.get("/{id}/versions", response_model=Page[SourceVersion])
async def list_versions(
    source_id: SourceId, gateway: Here, principal: SourcesReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[SourceVersion]:
    """List the versions of a source, the newest first."""
    before = number_of(cursor)
    async with gateway.database.read() as connection:
        return await sources.versions(connection, principal.tenant, source_id, before=before, limit=limit)


@router.get("/{id}/chunks", response_model=Page[Chunk])
async def list_chunks(
    source_id: SourceId,
    gateway: Here,
    principal: SourcesReader,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Default: the newest.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Chunk]:
    """List the chunks of a version in order: one after the other, they are the whole text."""
    after = number_of(cursor) or 0
    async with gateway.database.read() as connection:
        return await sources.chunks(
            connection, principal.tenant, source_id, version=version, after=after, limit=limit
        )


@router.delete("/{id}", status_code=204)
async def remove_source(source_id: SourceId, gateway: Here, principal: SourcesWriter) -> None:
    """Remove a source with all of its versions, for good."""
    async with gateway.database.write() as connection:
        await sources.remove(
            connection, principal.tenant, source_id, now=gateway.clock(), actor=principal.subject
        )
