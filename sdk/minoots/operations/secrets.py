"""Operations on signing secrets."""

from __future__ import annotations

from minoots.call import Call, body_of, checked, get, path, post
from minoots.contracts.pages import Page
from minoots.contracts.secrets import Secret, SecretCreate, SecretCreated, SecretRotate

from .timers import Length


def create(name: str) -> Call[SecretCreated]:
    """POST /v1/secrets."""
    # Not sent again after a 500: the answer holds the key, which is shown once.
    return post("/v1/secrets", SecretCreated, body_of(checked(SecretCreate, name=name)), idempotent=False)


def listing() -> Call[Page[Secret]]:
    """GET /v1/secrets."""
    return get("/v1/secrets", Page[Secret])


def read(name: str) -> Call[Secret]:
    """GET /v1/secrets/{name}."""
    return get(path("/v1/secrets/{name}", name=name), Secret)


def rotate(name: str, overlap: Length | None) -> Call[SecretCreated]:
    """POST /v1/secrets/{name}/rotate."""
    given = {} if overlap is None else {"overlap": overlap}
    body = body_of(checked(SecretRotate, **given))
    return post(path("/v1/secrets/{name}/rotate", name=name), SecretCreated, body, idempotent=False)
