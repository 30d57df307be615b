"""Operations on receivers that Minoots has an opinion on."""

from __future__ import annotations

from minoots.call import Call, get, path, post
from minoots.contracts.deliveries import Destination
from minoots.contracts.pages import Page


def listing() -> Call[Page[Destination]]:
    """GET /v1/destinations."""
    return get("/v1/destinations", Page[Destination])


def reopen(destination_id: str) -> Call[Destination]:
    """POST /v1/destinations/{id}/reopen."""
    return post(path("/v1/destinations/{id}/reopen", id=destination_id), Destination)
