"""``/v1/artifacts``: contents by the hash of their bytes, handed in for jobs and handed out again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Path, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from minoots.contracts import Content, FieldProblem
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import Text
from minoots_api.principals import JobsReader, JobsWriter
from minoots_api.problems import THROTTLED
from minoots_api.routing import Router
from minoots_platform.identity import Principal
from minoots_platform.records import contents, handing_in

from .routes import as_download

router = Router(prefix="/v1/artifacts", tags=["jobs"])

TOO_LARGE_CONTENT: Final = "Divide or compress it, or have the operator raise jobs.max_artifact_bytes."
"""What to do about a content that is too large. It is what others name by reference."""
_AT_A_TIME: Final = 8
"""Times the largest artifact: what one tenant may be handing in at the same time to one gateway."""
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "",
    status_code=201,
    response_model=Content,
    responses=THROTTLED,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}},
    },
)
async def hand_in_artifact(request: Request, gateway: Here, principal: JobsWriter) -> Content:
    """Hand in bytes that jobs may name by their hash; what no job names for a day is forgotten."""
    async with body_of(request, gateway, principal, "the artifact") as data:
        sha256 = await handed_in(gateway, principal, data)
        return Content(sha256=sha256, bytes=len(data))


async def handed_in(gateway: Gateway, principal: Principal, data: bytes) -> str:
    """Keep what a tenant hands in, within what it may in a day; return its hash.

    Raises:
        Failure: throttled.
    """
    most = gateway.settings.jobs.tenant_day_bytes
    return await handing_in.keep(gateway.database, principal.tenant, data, most, gateway.clock())


@asynccontextmanager
async def body_of(
    request: Request, gateway: Gateway, principal: Principal, what: str
) -> AsyncIterator[bytes]:
    """Yield the bytes of a request; until the end of the block they count as held for its tenant.

    Raises:
        Failure: too_large, beyond `jobs.max_artifact_bytes` of ``what``; throttled, when the tenant hands in
            too much at a time; invalid, when they do not all come.
    """
    most, held, tenant = gateway.settings.jobs.max_artifact_bytes, gateway.receiving, principal.tenant
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
            held[tenant] += len(part)
            if len(data) > most:
                problem = FieldProblem(field="body", expected=f"at most {most} bytes", got="more")
                raise Failure(
                    FailureKind.TOO_LARGE,
                    f"{what} is larger than {most} bytes",
                    remedy=TOO_LARGE_CONTENT,
                    errors=(problem,),
                )
            if held[tenant] > _AT_A_TIME * most:
                # All of it is in memory, and whoever sends slowly keeps it there.
                raise Failure(
                    FailureKind.THROTTLED,
                    f"more than {_AT_A_TIME * most} bytes are being handed in at a time",
                    remedy="Hand in one after the other.",
                )
        yield bytes(data)
    except ClientDisconnect as gone:
        raise Failure(FailureKind.INVALID, f"the connection ended before {what} did") from gone
    finally:
        held[tenant] -= len(data)
        if not held[tenant]:
            del held[tenant]


@router.get(
    "/{sha256}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": _BINARY}}},
)
async def get_artifact(
    sha256: Annotated[Text, Path(max_length=64, examples=["0" * 64])], gateway: Here, principal: JobsReader
) -> Response:
    """Download bytes by their hash."""
    return as_download(await contents.read(gateway.database, principal.tenant, sha256), sha256)
