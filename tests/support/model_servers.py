"""Stand-ins for model servers, and routers that ask them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from serving import serving
from stacks import TENANT

from minoots.contracts.models import Delta, Message, ModelAnswer, ModelRequest, Role
from minoots_activities.models.opening import Opened, open_router
from minoots_activities.models.providers.provider import Call, Piece, Provider
from minoots_platform.records import Database
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry
from minoots_workers.fake_llm import Script, create_app
from minoots_workflows.models.contracts import ModelCaller

MODEL = "fake"
WIRES = ("ollama", "compatible", "openai", "anthropic")

Opening = Callable[..., AbstractAsyncContextManager[Provider]]


def entry(kind: str, url: str, name: str | None = None) -> str:
    """A provider of a kind at a stand-in, as the settings name it."""
    path = "/v1" if kind in ("compatible", "openai") else ""
    return f"{name or kind}:{kind}={url}{path}"


async def pieces_of(provider: Provider, request: ModelRequest, **more: Any) -> list[Piece]:
    """What a provider yields."""
    call = Call(**{"model": "fake:latest", "request": request, "messages": request.messages, **more})
    async with aclosing(provider.stream(call)) as pieces:
        return [piece async for piece in pieces]


@asynccontextmanager
async def model_server(*, port: int = 0, **script: Any) -> AsyncIterator[str]:
    """Serve a script on a port, or on a free one; yield its address."""
    listener = socket.create_server(("127.0.0.1", port))
    async with serving(create_app(Script.model_validate(script)), listener) as url:
        yield url


async def heard(url: str) -> list[dict[str, Any]]:
    """What a server was asked, without questions about its models."""
    async with httpx.AsyncClient(trust_env=False) as client:
        told: list[dict[str, Any]] = (await client.get(f"{url}/fake/requests")).json()
        return told


class Moving:
    """A clock that a test moves."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def routing(
    database: Database, telemetry: Telemetry, *, clock: Callable[[], datetime] | None = None, **models: Any
) -> AsyncIterator[Opened]:
    """Open a router with these settings of models."""
    settings = Settings.model_validate({"models": models})
    more = {} if clock is None else {"clock": clock}
    async with open_router(settings, database, telemetry, look=False, **more) as opened:
        yield opened


def asked(text: str = "make tea", **more: Any) -> ModelRequest:
    """A request of one message."""
    return ModelRequest(messages=(Message(role=Role.USER, text=text),), **more)


def caller(call_id: str = "call-1", **more: Any) -> ModelCaller:
    """Somebody who asks."""
    return ModelCaller(**{"tenant": TENANT, "key": "key_ada", "call_id": call_id, **more})


async def streamed(
    opened: Opened, request: ModelRequest, who: ModelCaller | None = None
) -> tuple[list[Delta], ModelAnswer]:
    """The pieces of an answer, and the answer."""
    pieces: list[Delta] = []
    async for one in opened.router.stream(request, who or caller()):
        if isinstance(one, ModelAnswer):
            return pieces, one
        pieces.append(one)
    raise AssertionError("expected an answer at the end of the stream")
