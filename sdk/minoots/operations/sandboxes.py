"""Operations on sandboxes that stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypedDict
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from minoots.call import Call, Raw, body_of, checked, get, invalid, key_header, pairs, path, post
from minoots.contracts.pages import Page
from minoots.contracts.sandboxes import FilePath, Limits
from minoots.contracts.standing import (
    Sandbox,
    SandboxCreate,
    SandboxFiles,
    SandboxSnapshot,
    SandboxState,
    SandboxWritten,
)

_PATH: Final[TypeAdapter[str]] = TypeAdapter(FilePath)
_PATIENCE: Final = 60.0
"""Seconds that the service may take for something that a worker does."""


class NewSandbox(TypedDict, total=False):
    """Arguments of ``sandboxes.open``; see `minoots.contracts.standing.SandboxCreate`."""

    name: str
    tier: str
    image: str
    limits: Limits | Mapping[str, Any]
    network: Sequence[str]
    idle_timeout: timedelta | str | float
    lifetime: timedelta | str | float
    from_snapshot: str
    keep: bool
    labels: Mapping[str, str]
    idempotency_key: str | None
    """The same key with the same arguments opens one sandbox; default: a random one for each call."""


class SandboxFilter(TypedDict, total=False):
    """Arguments of ``sandboxes.list``; every one that is given must match."""

    state: SandboxState | str | Sequence[SandboxState | str] | None
    label: Mapping[str, str] | None


def create(fields: Mapping[str, Any]) -> Call[Sandbox]:
    """POST /v1/sandboxes.

    Raises:
        InvalidRequest: for arguments that are none of a sandbox.
    """
    wanted: dict[str, Any] = dict(fields)
    key = wanted.pop("idempotency_key", None)
    request = checked(SandboxCreate, **wanted)
    return Call("POST", "/v1/sandboxes", Sandbox, body=body_of(request), headers=key_header(key))


def read(sandbox_id: str, wait: int | None = None) -> Call[Sandbox]:
    """GET /v1/sandboxes/{id}; with ``wait``, answered when it stands or has ended, or that late."""
    call = get(path("/v1/sandboxes/{id}", id=sandbox_id), Sandbox, wait=wait)
    return replace(call, patience=float(wait or 0))


def listing(fields: SandboxFilter) -> Call[Page[Sandbox]]:
    """GET /v1/sandboxes."""
    return Call("GET", "/v1/sandboxes", Page[Sandbox], query=pairs(fields))


def close(sandbox_id: str, wait: int | None) -> Call[Sandbox]:
    """DELETE /v1/sandboxes/{id}; with ``wait``, answered when it has ended, or that late."""
    where = path("/v1/sandboxes/{id}", id=sandbox_id)
    return Call("DELETE", where, Sandbox, query=pairs({"wait": wait}), patience=float(wait or 0))


def suspend(sandbox_id: str) -> Call[Sandbox]:
    """POST /v1/sandboxes/{id}/suspend."""
    return _patient(post(path("/v1/sandboxes/{id}/suspend", id=sandbox_id), Sandbox))


def resume(sandbox_id: str) -> Call[Sandbox]:
    """POST /v1/sandboxes/{id}/resume."""
    return _patient(post(path("/v1/sandboxes/{id}/resume", id=sandbox_id), Sandbox))


def snapshot(sandbox_id: str) -> Call[SandboxSnapshot]:
    """POST /v1/sandboxes/{id}/snapshot."""
    return _patient(post(path("/v1/sandboxes/{id}/snapshot", id=sandbox_id), SandboxSnapshot))


def files(sandbox_id: str, most: int) -> Call[SandboxFiles]:
    """GET /v1/sandboxes/{id}/files."""
    where = path("/v1/sandboxes/{id}/files", id=sandbox_id)
    return replace(get(where, SandboxFiles, most=most), patience=_PATIENCE)


def download(sandbox_id: str, file: str) -> Call[Raw]:
    """GET /v1/sandboxes/{id}/files/{path}."""
    return replace(get(_file(sandbox_id, file), Raw), patience=_PATIENCE)


def write(sandbox_id: str, file: str, data: bytes, executable: bool) -> Call[SandboxWritten]:
    """PUT /v1/sandboxes/{id}/files/{path}."""
    query = pairs({"executable": "true"}) if executable else ()
    where = _file(sandbox_id, file)
    return Call("PUT", where, SandboxWritten, query=query, raw=data, patience=_PATIENCE)


def _file(sandbox_id: str, file: str) -> str:
    try:
        _PATH.validate_python(file)
    except ValidationError:
        expected = "a path below the working folder, without . and .."
        raise invalid("path.path", expected, repr(file)[:100]) from None
    return f"{path('/v1/sandboxes/{id}/files', id=sandbox_id)}/{quote(file)}"


def _patient(call: Call[Any]) -> Call[Any]:
    return replace(call, patience=_PATIENCE)
