"""``/v1/ingest``: files and texts are sent to be taken in, and what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import Event, FileState, Ingest, IngestAbout, IngestedFile, IngestState, Page
from minoots.errors import Failure, FailureKind
from minoots_api.commands import run_once
from minoots_api.events.about import After, events_about
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Cursor, IdempotencyKey, Limit, known_form, number_of
from minoots_api.principals import SourcesReader, SourcesWriter
from minoots_api.problems import THROTTLED
from minoots_api.routing import Router
from minoots_api.waiting import Wait, when_final
from minoots_platform.ids import new_id
from minoots_platform.records import ingests, staging
from minoots_platform.telemetry.trace_context import current_traceparent

from .form import ABOUT, FILE, Sent, sent

router = Router(prefix="/v1/ingest", tags=["ingest"])

_MOST: Final = 8
_MOST_OF_ONE: Final = 4
"""Requests with files at a time of one gateway, and of one tenant: each may hold a large file on the disk."""
_UNDER_WAY: Final = Counter[str]()

_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {
                        FILE: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "The files; the file name of each is the name of its source.",
                        },
                        ABOUT: {
                            "description": "What is known of them, as JSON.",
                            **IngestAbout.model_json_schema(),
                        },
                    },
                },
                "encoding": {ABOUT: {"contentType": "application/json"}},
            }
        },
    }
}


def ingest_id(id: Annotated[str, Path(examples=["ing_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"])]) -> str:
    """Return the id of an ingest from the path."""
    return known_form(id, "ing", "ingest")


IngestId = Annotated[str, Depends(ingest_id)]


@router.post("", status_code=202, response_model=Ingest, openapi_extra=_FORM, responses=THROTTLED)
async def ingest(
    request: Request, gateway: Here, principal: SourcesWriter, key: IdempotencyKey = None
) -> Response:
    """Take files in: each is kept before the answer is sent, and read right after.

    The same name is the same source; the same content is read once.
    """
    with _one_of_few(principal.tenant):
        async with sent(request, gateway.settings.ingest) as files:
            ingest_id = new_id("ing", gateway.clock())
            try:
                await _stage(gateway, principal.tenant, ingest_id, files)

                async def work(connection: AsyncConnection) -> Ingest:
                    return await ingests.accept(
                        connection,
                        principal.tenant,
                        ingest_id,
                        files.files,
                        files.about,
                        most_waiting=gateway.settings.ingest.max_waiting_bytes,
                        now=gateway.clock(),
                        actor=principal.subject,
                        traceparent=current_traceparent(),
                    )

                answered = await run_once(
                    gateway, request, principal, key, work, status=202, fingerprint=files.fingerprint
                )
            except BaseException:
                gateway.in_background(_forget(gateway, ingest_id))
                raise
    if answered.replayed:
        gateway.in_background(_forget(gateway, ingest_id))
    else:
        await gateway.hand_over(gateway.handover.ingest(ingest_id))
    return answered.response(Location=f"/v1/ingest/{answered.answer['id']}")


@router.get("", response_model=Page[Ingest])
async def list_ingests(
    gateway: Here,
    principal: SourcesReader,
    state: Annotated[list[IngestState] | None, Query(max_length=3)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Ingest]:
    """List ingests, the newest first."""
    wanted = ingests.IngestQuery(tuple(state or ()), limit, cursor)
    async with gateway.database.read() as connection:
        return await ingests.page(connection, principal.tenant, wanted)


@router.get("/{id}", response_model=Ingest)
async def get_ingest(ingest_id: IngestId, gateway: Here, principal: SourcesReader, wait: Wait = 0) -> Ingest:
    """Get an ingest with how far it is; with ``wait``, answer as soon as it has ended."""
    tenant = principal.tenant
    return await when_final(gateway, tenant, lambda read: ingests.get(read, tenant, ingest_id), wait)


@router.get("/{id}/files", response_model=Page[IngestedFile])
async def list_ingested_files(
    ingest_id: IngestId,
    gateway: Here,
    principal: SourcesReader,
    state: Annotated[list[FileState] | None, Query(max_length=7)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[IngestedFile]:
    """List the files of an ingest in the order in which they were sent, and what became of each."""
    after = number_of(cursor) or 0
    async with gateway.database.read() as connection:
        return await ingests.files(
            connection, principal.tenant, ingest_id, states=state or (), after=after, limit=limit
        )


@router.post("/{id}/cancel", response_model=Ingest)
async def cancel_ingest(ingest_id: IngestId, gateway: Here, principal: SourcesWriter) -> Ingest:
    """Take in no more of the files of an ingest; what was taken in stays."""
    async with gateway.database.write() as connection:
        return await ingests.cancel(
            connection, principal.tenant, ingest_id, now=gateway.clock(), actor=principal.subject
        )


@router.get("/{id}/events", response_model=Page[Event])
async def ingest_events(
    ingest_id: IngestId, gateway: Here, principal: SourcesReader, cursor: After = 0, limit: Limit = 100
) -> Page[Event]:
    """List what happened to an ingest, the oldest first; its sources have events of their own."""
    async with gateway.database.read() as connection:
        await ingests.get(connection, principal.tenant, ingest_id)
        return await events_about(connection, principal.tenant, ingest_id, after=cursor, limit=limit)


async def _stage(gateway: Gateway, tenant: str, ingest_id: str, files: Sent) -> None:
    """Keep the bytes of every file, sealed: the secrets in them have not been taken out yet."""
    for file, upload in enumerate(files.uploads, start=1):
        number = 0
        while piece := await upload.read(staging.PIECE):
            sealed = await asyncio.to_thread(gateway.vault.encrypt, piece)
            async with gateway.database.write() as connection:
                await staging.keep(
                    connection,
                    tenant,
                    ingest_id,
                    file=file,
                    number=number,
                    sealed=sealed,
                    now=gateway.clock(),
                )
            number += 1


async def _forget(gateway: Gateway, ingest_id: str) -> None:
    async with gateway.database.write() as connection:
        # Its ingest may have been made although the request ended badly.
        await staging.forget_unaccepted(connection, ingest_id)


@contextmanager
def _one_of_few(tenant: str) -> Iterator[None]:
    if _UNDER_WAY[tenant] >= _MOST_OF_ONE or _UNDER_WAY.total() >= _MOST:
        raise Failure(
            FailureKind.THROTTLED,
            "too many requests with files are under way",
            remedy="Send them one after the other, with more files in each.",
        )
    _UNDER_WAY[tenant] += 1
    try:
        yield
    finally:
        _UNDER_WAY[tenant] -= 1
