"""``/v1/secrets``: signing secrets. Keys leave once, in the answer to the call that made them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path

from minoots.contracts import Page, Secret, SecretCreate, SecretCreated, SecretRotate
from minoots.contracts.actions import SECRET_NAME_PATTERN
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Here
from minoots_api.principals import Admin
from minoots_api.routing import Router
from minoots_platform.identity import Principal
from minoots_platform.records import signing_secrets
from minoots_platform.telemetry import audit

router = Router(prefix="/v1/secrets", tags=["secrets"])

SecretName = Annotated[str, Path(description="Name of the secret.")]


@router.post("", status_code=201, response_model=SecretCreated)
async def create_secret(asked: SecretCreate, gateway: Here, principal: Admin) -> SecretCreated:
    """Make a signing secret. Its key is in this answer and in no other."""
    async with gateway.database.write() as connection:
        made = await signing_secrets.create(
            connection, gateway.vault, principal.tenant, asked.name, now=gateway.clock()
        )
    _noted(principal, "secret.created", asked.name)
    return made


@router.get("", response_model=Page[Secret])
async def list_secrets(gateway: Here, principal: Admin) -> Page[Secret]:
    """List signing secrets with their public keys, without the secret ones."""
    async with gateway.database.read() as connection:
        found = await signing_secrets.page(connection, principal.tenant, gateway.clock())
    return Page[Secret](items=found)


@router.get("/{name}", response_model=Secret)
async def get_secret(name: SecretName, gateway: Here, principal: Admin) -> Secret:
    """Get a signing secret with its public keys."""
    async with gateway.database.read() as connection:
        return await signing_secrets.get(connection, principal.tenant, _known_form(name), gateway.clock())


@router.post("/{name}/rotate", response_model=SecretCreated)
async def rotate_secret(
    name: SecretName, gateway: Here, principal: Admin, asked: SecretRotate | None = None
) -> SecretCreated:
    """Make a new version; until ``overlap`` has passed, the old one signs too."""
    known = _known_form(name)
    overlap = (asked or SecretRotate()).overlap
    async with gateway.database.write() as connection:
        made = await signing_secrets.rotate(
            connection, gateway.vault, principal.tenant, known, overlap, now=gateway.clock()
        )
    _noted(principal, "secret.rotated", known)
    return made


def _known_form(name: str) -> str:
    if not re.match(SECRET_NAME_PATTERN, name):
        raise Failure(FailureKind.NOT_FOUND, f"there is no secret {name[:63]!r}")
    return name


def _noted(principal: Principal, event: str, name: str) -> None:
    audit(event, actor=principal.subject, tenant=principal.tenant, decision="allow", name=name)
