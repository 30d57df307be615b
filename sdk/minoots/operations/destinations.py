"""Operations on destinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Required, TypedDict

from minoots.call import Call, Nothing, body_of, checked, get, key_header, path, post
from minoots.contracts.destinations import (
    CircuitPolicy,
    Destination,
    DestinationOpen,
    DestinationSave,
    RateLimit,
)
from minoots.contracts.pages import Page


class Settings(TypedDict, total=False):
    """Arguments of ``destinations.save``; what is not given has no limit."""

    url: Required[str]
    rate: RateLimit | Mapping[str, Any]
    concurrency: int
    circuit: CircuitPolicy | Mapping[str, Any]


def listing() -> Call[Page[Destination]]:
    """GET /v1/destinations."""
    return get("/v1/destinations", Page[Destination])


def read(destination_id: str) -> Call[Destination]:
    """GET /v1/destinations/{id}."""
    return get(path("/v1/destinations/{id}", id=destination_id), Destination)


def save(fields: Settings) -> Call[Destination]:
    """POST /v1/destinations."""
    return post("/v1/destinations", Destination, body_of(checked(DestinationSave, **fields)))


def remove(destination_id: str) -> Call[Nothing]:
    """DELETE /v1/destinations/{id}."""
    route = path("/v1/destinations/{id}", id=destination_id)
    return Call("DELETE", route, Nothing, headers=key_header(None))


def open_circuit(destination_id: str, reason: str | None) -> Call[Destination]:
    """POST /v1/destinations/{id}/open."""
    asked = checked(DestinationOpen, **({} if reason is None else {"reason": reason}))
    return post(path("/v1/destinations/{id}/open", id=destination_id), Destination, body_of(asked))


def close_circuit(destination_id: str) -> Call[Destination]:
    """POST /v1/destinations/{id}/close."""
    return post(path("/v1/destinations/{id}/close", id=destination_id), Destination)
