"""A real HTTP receiver for webhooks, on loopback, that remembers what came and answers as told."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Received:
    """One request."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def webhook_id(self) -> str:
        """What a receiver tells repetitions by."""
        return self.headers["webhook-id"]


@dataclass
class Answer:
    """What to answer: a status, headers, a body, after a gate has opened."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    gate: asyncio.Event | None = None


class Receiver:
    """Requests so far, and the answers still to give (the last one for ever)."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.requests: list[Received] = []
        self._answers: list[Answer] = [Answer()]
        self._arrived = asyncio.Condition()

    def answers(self, *answers: Answer | int) -> None:
        """Answer the next requests like this, and all after them like the last."""
        self._answers = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]

    async def expect(self, count: int, timeout: float = 60) -> list[Received]:
        """Return the requests once there are ``count`` of them."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return list(self.requests)

    async def handle(self, request: Request) -> Response:
        """Take one request."""
        at = time.time()
        body = await request.body()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        async with self._arrived:
            self.requests.append(Received(at, request.method, request.url.path, dict(request.headers), body))
            self._arrived.notify_all()
        if answer.gate is not None:
            await answer.gate.wait()
        return Response(answer.body, answer.status, answer.headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Yield a receiver that listens on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    receiver = Receiver(listener.getsockname()[1])
    methods = ["GET", "POST", "PUT", "PATCH"]
    app = Starlette(routes=[Route("/{path:path}", receiver.handle, methods=methods)])
    async with serving(app, listener, lifespan="off"):
        yield receiver
