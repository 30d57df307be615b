"""``/v1/artifacts``: contents by the hash of their bytes, handed in for jobs and handed out again."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from minoots.contracts import Content, FieldProblem
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Here
from minoots_api.parameters import Text
from minoots_api.principals import JobsReader, JobsWriter
from minoots_api.routing import Router
from minoots_platform.records import contents

from .routes import as_download

router = Router(prefix="/v1/artifacts", tags=["jobs"])

_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "",
    status_code=201,
    response_model=Content,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}},
    },
)
async def hand_in_artifact(request: Request, gateway: Here, principal: JobsWriter) -> Content:
    """Hand in bytes that jobs may name by their hash; what no job names for a day is forgotten."""
    data = await body_of(request, gateway.settings.jobs.max_artifact_bytes, "the artifact")
    sha256 = await contents.keep(gateway.database, principal.tenant, data, gateway.clock())
    return Content(sha256=sha256, bytes=len(data))


async def body_of(request: Request, most: int, what: str) -> bytes:
    """Return the bytes of a request.

    Raises:
        Failure: too_large, beyond ``most`` bytes of ``what``; invalid, when they do not all come.
    """
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
            if len(data) > most:
                problem = FieldProblem(field="body", expected=f"at most {most} bytes", got="more")
                raise Failure(
                    FailureKind.TOO_LARGE,
                    f"{what} is larger than {most} bytes",
                    remedy="Divide or compress it, or raise jobs.max_artifact_bytes.",
                    errors=(problem,),
                )
    except ClientDisconnect as gone:
        raise Failure(FailureKind.INVALID, f"the connection ended before {what} did") from gone
    return bytes(data)


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
