"""``/v1/sandboxes/{id}/files``: files of a sandbox that stands, put in and taken out while programs run."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from minoots.contracts import FieldProblem, SandboxFiles, SandboxWritten
from minoots.contracts.sandboxes import FilePath
from minoots.contracts.standing import MAX_LISTED
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Here
from minoots_api.jobs.artifacts import body_of, handed_in
from minoots_api.jobs.routes import as_download
from minoots_api.parameters import Text
from minoots_api.principals import SandboxesReader, SandboxesWriter
from minoots_api.problems import THROTTLED
from minoots_api.routing import Router
from minoots_platform.records import contents, sandboxes
from minoots_workflows.sandboxes.contracts import SandboxDoes

from .asking import asked
from .routes import SandboxId

router = Router(prefix="/v1/sandboxes/{id}/files", tags=["sandboxes"])

_PATH: Final[TypeAdapter[str]] = TypeAdapter(FilePath)
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}

FileOf = Annotated[
    Text, Path(max_length=512, description="From the working folder on.", examples=["notes/tea.md"])
]


@router.get("", response_model=SandboxFiles)
async def list_sandbox_files(
    sandbox_id: SandboxId,
    gateway: Here,
    principal: SandboxesReader,
    most: Annotated[int, Query(ge=1, le=MAX_LISTED, description="Files to list at most.")] = 1000,
) -> SandboxFiles:
    """List the files of a sandbox, by path."""
    return SandboxFiles.model_validate(
        await asked(gateway, principal, sandbox_id, SandboxDoes.LIST, most=most)
    )


@router.get(
    "/{path:path}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": _BINARY}}},
)
async def get_sandbox_file(
    sandbox_id: SandboxId, path: FileOf, gateway: Here, principal: SandboxesReader
) -> Response:
    """Download a file of a sandbox."""
    found = await asked(gateway, principal, sandbox_id, SandboxDoes.GET, path=_below(path))
    sha256 = found["sha256"]
    return as_download(await contents.read(gateway.database, principal.tenant, sha256), sha256)


@router.put(
    "/{path:path}",
    response_model=SandboxWritten,
    responses=THROTTLED,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}},
    },
)
async def put_sandbox_file(
    request: Request,
    sandbox_id: SandboxId,
    path: FileOf,
    gateway: Here,
    principal: SandboxesWriter,
    executable: Annotated[bool, Query(description="Whether it may be run.")] = False,
) -> SandboxWritten:
    """Write a file of a sandbox, over the one that is there; folders are made."""
    where = _below(path)
    async with gateway.database.write() as connection:
        # Before the bytes are kept: of another's sandbox nothing is kept for anybody.
        await sandboxes.require_standing(connection, principal.tenant, sandbox_id, gateway.clock())
    async with body_of(request, gateway, principal, "the file") as data:
        sha256 = await handed_in(gateway, principal, data)
    found = await asked(
        gateway, principal, sandbox_id, SandboxDoes.PUT, path=where, sha256=sha256, executable=executable
    )
    return SandboxWritten.model_validate(found)


def _below(path: str) -> str:
    """Return a path if it is one below the working folder.

    Raises:
        Failure: invalid.
    """
    try:
        return _PATH.validate_python(path)
    except ValidationError as error:
        expected = "a path below the working folder, without . and .. and //"
        raise Failure(
            FailureKind.INVALID,
            "the path is none below the working folder",
            remedy="Name a file from the working folder on.",
            errors=(FieldProblem(field="path.path", expected=expected, got=path[:100]),),
        ) from error
