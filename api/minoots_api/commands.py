"""Running a command once: idempotency key, command and event in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from fastapi import Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots_platform.identity import Principal
from minoots_platform.records import idempotency

from .gateway import Gateway

REPLAYED: Final = "Idempotent-Replayed"


@dataclass(frozen=True)
class Answered:
    """The answer to a command, and whether it is the repetition of an earlier one."""

    status: int
    answer: Any
    replayed: bool

    def response(self, **headers: str) -> Response:
        """Return it as a response."""
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.replayed:
            extra[REPLAYED] = "true"
        content = json.dumps(self.answer, ensure_ascii=False, separators=(",", ":"))
        return Response(content, self.status, extra, "application/json")


async def run_once(
    gateway: Gateway,
    request: Request,
    principal: Principal,
    key: str | None,
    work: Callable[[AsyncConnection], Awaitable[BaseModel]],
    *,
    status: int = 200,
    fingerprint: str | None = None,
) -> Answered:
    """Run ``work`` in a writing transaction; with a key that came before, give the first answer instead.

    ``fingerprint`` tells the request from others; by default it is made of all of it.

    Raises:
        Failure: whatever ``work`` raises; invalid, when the key came with another request.
    """
    if key is None:
        async with gateway.database.write() as connection:
            done = await work(connection)
        return Answered(status, done.model_dump(mode="json"), replayed=False)
    fingerprint = fingerprint or await _fingerprint(request)
    try:
        return await _keyed(gateway, principal, key, fingerprint, work, status)
    except sa.exc.IntegrityError:
        # The same key at the same moment: the other request has committed, so its answer is there now.
        return await _keyed(gateway, principal, key, fingerprint, work, status)


async def _keyed(
    gateway: Gateway,
    principal: Principal,
    key: str,
    fingerprint: str,
    work: Callable[[AsyncConnection], Awaitable[BaseModel]],
    status: int,
) -> Answered:
    async with gateway.database.write() as connection:
        stored = await idempotency.find(connection, principal.tenant, key, fingerprint)
        if stored is not None:
            return Answered(stored.status, stored.answer, replayed=True)
        done = (await work(connection)).model_dump(mode="json")
        await idempotency.keep(
            connection, principal.tenant, key, fingerprint, status=status, answer=done, now=gateway.clock()
        )
    return Answered(status, done, replayed=False)


def _canonical(body: bytes) -> str:
    if not body.strip():
        return ""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        # A route without a body does not read it, so that it may be anything.
        return body.hex()


async def _fingerprint(request: Request) -> str:
    """Return what makes two requests the same: method, path, precondition, body (white space aside)."""
    body = await request.body()
    canonical = _canonical(body)
    text = "\n".join((request.method, request.url.path, request.headers.get("if-match", ""), canonical))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
