"""A small real HTTP server that answers what a test tells it, and the objects that it answers."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import uvicorn
from serving import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

VARIABLES = ("MINOOTS_URL", "MINOOTS_API_KEY", "MINOOTS_TRACEBACK")


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


Answer = Callable[[Seen], Response]


@dataclass
class Gateway:
    """The server; it keeps its port when it is stopped and started again."""

    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    _answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    _server: Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, *answers: Answer) -> None:
        """Answer one after the other; the last one again and again."""
        self._answers[method, path] = list(answers)

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        app = Starlette(routes=[Route("/{path:path}", self._handle, methods=["GET", "POST", "PATCH"])])
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
        self._server = Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        listener.listen()
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._server = None

    async def _handle(self, request: Request) -> Response:
        body = await request.body()
        seen = Seen(
            request.method,
            request.url.path,
            request.query_params.multi_items(),
            dict(request.headers),
            json.loads(body) if body.startswith((b"{", b"[")) else None,
        )
        self.seen.append(seen)
        answers = self._answers.get((seen.method, seen.path))
        if not answers:
            return problem(404, "not_found")(seen)
        return (answers.pop(0) if len(answers) > 1 else answers[0])(seen)


def reply(body: Any, status: int = 200, **headers: str) -> Answer:
    return lambda seen: Response(json.dumps(body), status, headers, "application/json")


def problem(status: int, kind: str, *errors: dict[str, str], **headers: str) -> Answer:
    body: dict[str, Any] = {
        "title": kind,
        "status": status,
        "kind": kind,
        "detail": "no",
        "remedy": "do that",
        "errors": errors,
    }
    return lambda seen: Response(json.dumps(body), status, headers, "application/problem+json")


def timer(timer_id: str = "tmr_1", state: str = "armed", **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "id": timer_id,
        "name": "tea",
        "state": state,
        "generation": 1,
        "fire_at": now,
        "created_at": now,
        "updated_at": now,
        "actions": [{"kind": "webhook", "url": "https://example.com/hook"}],
        "retry": {},
        "misfire": {},
        "labels": {},
        "metadata": {},
        "created_by": "key_1",
    } | changes


def event(sequence: int, type: str = "timer.fired", subject: str = "tmr_1") -> dict[str, Any]:
    return {
        "id": f"evt_{sequence}",
        "source": "/minoots",
        "type": type,
        "subject": subject,
        "time": datetime.now(UTC).isoformat(),
        "sequence": sequence,
        "data": {"text": "a\u2028b"},
    }


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make() -> Any:
    """The makers of answers, for test files cannot import this one."""

    class Make:
        reply = staticmethod(reply)
        problem = staticmethod(problem)
        timer = staticmethod(timer)
        event = staticmethod(event)

    return Make
