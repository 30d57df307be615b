"""Ollama's native wire: chat, generate, embed, and the registry of models.

As its API documents it, with what is not documented but happens: what is beyond the context is dropped
without a word, and an error in the middle of a stream is a line of an answer that began with 200.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from minoots.durations import parse_duration

from .counting import tokens_sent
from .script import Fault, Model, Playing, Turn, embedding, tokens_in, with_tag
from .speaking import Heard, said

VERSION: Final = "0.12.0"
_NDJSON: Final = "application/x-ndjson"
_KEPT_FOR: Final = timedelta(minutes=5)
_LOADING: Final = 5_000_000
"""Nanoseconds."""


class Ollama:
    """The routes below ``/api``."""

    def __init__(self, playing: Playing, heard: deque[Heard]) -> None:
        self._playing = playing
        self._heard = heard
        self._loaded: dict[str, datetime] = {}

    def routes(self) -> Sequence[Route]:
        """Return them."""
        return (
            Route("/api/version", self.version),
            Route("/api/tags", self.tags),
            Route("/api/ps", self.ps),
            Route("/api/show", self.show, methods=["POST"]),
            Route("/api/chat", self.chat, methods=["POST"]),
            Route("/api/generate", self.generate, methods=["POST"]),
            Route("/api/embed", self.embed, methods=["POST"]),
            Route("/api/pull", self.pull, methods=["POST"]),
            Route("/api/delete", self.delete, methods=["DELETE"]),
        )

    async def version(self, _: Request) -> Response:
        """Which version it pretends to be."""
        return JSONResponse({"version": VERSION})

    async def tags(self, _: Request) -> Response:
        """Which models there are."""
        there = [model for model in self._playing.script.models if model.name in self._playing.pulled]
        return JSONResponse({"models": [self._listed(model) for model in there]})

    async def ps(self, _: Request) -> Response:
        """Which models are in memory, and until when."""
        now = datetime.now(UTC)
        self._loaded = {name: until for name, until in self._loaded.items() if until > now}
        told = []
        for name, until in self._loaded.items():
            model = self._playing.model(name)
            if model is not None:
                told.append(
                    {
                        **self._listed(model),
                        "expires_at": until.isoformat(),
                        "size_vram": 0,
                        "context_length": self._playing.script.context,
                    }
                )
        return JSONResponse({"models": told})

    async def show(self, request: Request) -> Response:
        """What a model can."""
        body = await request.json()
        model = self._playing.model(str(body.get("model") or body.get("name") or ""))
        if model is None:
            return _unknown(body)
        info = {
            "general.architecture": "fake",
            "fake.context_length": model.context_length,
            "fake.embedding_length": model.embedding_length,
        }
        return JSONResponse(
            {
                "details": _details(),
                "model_info": info,
                "capabilities": list(model.capabilities),
                "modified_at": _MODIFIED,
            }
        )

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        return await self._answer(request, chat=True)

    async def generate(self, request: Request) -> Response:
        """Answer a prompt."""
        return await self._answer(request, chat=False)

    async def embed(self, request: Request) -> Response:
        """Return vectors."""
        body = await request.json()
        self._heard.append(Heard(request.url.path, body, complete=True))
        model = self._playing.model(str(body.get("model", "")))
        if model is None:
            return _unknown(body)
        given = body.get("input", "")
        texts = [given] if isinstance(given, str) else list(given)
        turn = self._playing.next(model.name, [{"content": texts[-1] if texts else ""}])
        if turn.fault is not None and turn.fault.kind == "status":
            return _failed(turn.fault)
        return JSONResponse(
            {
                "model": body["model"],
                "embeddings": [embedding(text, model.embedding_length) for text in texts],
                "total_duration": _LOADING,
                "load_duration": 0,
                "prompt_eval_count": tokens_in(*texts),
            }
        )

    async def pull(self, request: Request) -> Response:
        """Fetch a model, telling how far it is."""
        body = await request.json()
        name = str(body.get("model") or body.get("name") or "")
        model = self._playing.script.model(name)
        lines: list[dict[str, Any]] = [{"status": "pulling manifest"}]
        if model is None:
            lines.append({"error": "pull model manifest: file does not exist"})
        else:
            digest, total = f"sha256:{model.newest}", model.size
            for part in (0, total // 2, total):
                told = {"status": f"pulling {model.newest[:12]}", "digest": digest, "total": total}
                lines.append(told | {"completed": part})
            lines += [{"status": "verifying sha256 digest"}, {"status": "success"}]
            self._playing.pulled[model.name] = model.newest
        if body.get("stream", True):
            return StreamingResponse(_lines(lines), media_type=_NDJSON)
        return JSONResponse(lines[-1], status_code=500 if "error" in lines[-1] else 200)

    async def delete(self, request: Request) -> Response:
        """Remove a model."""
        body = await request.json()
        model = self._playing.model(str(body.get("model") or body.get("name") or ""))
        if model is None:
            return _unknown(body)
        self._playing.pulled.pop(model.name, None)
        return Response(status_code=200)

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        body = await request.json()
        heard = Heard(request.url.path, body)
        self._heard.append(heard)
        model = self._playing.model(str(body.get("model", "")))
        if model is None:
            return _unknown(body)
        messages = _messages(body, chat=chat)
        fresh = self._load(model, body.get("keep_alive"))
        if not messages:
            # Nothing is asked: the model is only brought into memory, or out of it.
            reason = "load" if model.name in self._loaded else "unload"
            heard.complete = True
            return JSONResponse(_told(body, chat=chat, done=True, done_reason=reason))
        turn = self._playing.next(model.name, messages)
        if turn.fault is not None and turn.fault.kind == "status":
            return _failed(turn.fault)
        options = body.get("options") or {}
        sent = tokens_sent(messages, tools=body.get("tools"))
        script = self._playing.script
        most = int(options.get("num_ctx") or script.context)
        seen = min(sent, most if script.most_context is None else min(most, script.most_context))
        if seen < sent and script.refuses and body.get("truncate") is False:
            return JSONResponse({"error": "the input length exceeds the context length"}, status_code=400)
        answer = _Answer(body, turn, heard, chat=chat, evaluated=seen, loading=_LOADING if fresh else 0)
        if body.get("stream", True):
            return StreamingResponse(answer.lines(), media_type=_NDJSON)
        return await answer.whole()

    def _listed(self, model: Model) -> dict[str, Any]:
        return {
            "name": with_tag(model.name),
            "model": with_tag(model.name),
            "modified_at": _MODIFIED,
            "size": model.size,
            "digest": self._playing.pulled.get(model.name, model.digest),
            "details": _details(),
            **({"remote_host": "https://ollama.com:443", "remote_model": model.name} if model.remote else {}),
        }

    def _load(self, model: Model, keep_alive: Any) -> bool:
        """Keep a model in memory for as long as is asked; return whether it had to be loaded."""
        kept = _kept_for(keep_alive)
        fresh = model.name not in self._loaded
        if kept is not None and kept <= timedelta(0):
            self._loaded.pop(model.name, None)
        else:
            far = datetime(9999, 1, 1, tzinfo=UTC)
            self._loaded[model.name] = far if kept is None else datetime.now(UTC) + kept
        return fresh


class _Answer:
    """One answer, in lines or as a whole."""

    def __init__(
        self,
        body: Mapping[str, Any],
        turn: Turn,
        heard: Heard,
        *,
        chat: bool,
        evaluated: int,
        loading: int,
    ) -> None:
        self._body = body
        self._turn = turn
        self._heard = heard
        self._chat = chat
        self._evaluated = evaluated
        self._loading = loading
        most = (body.get("options") or {}).get("num_predict")
        self._most = most if isinstance(most, int) and most >= 0 else None

    async def lines(self) -> AsyncIterator[str]:
        if self._turn.raw:
            for one in self._turn.raw:
                yield f"{one}\n"
            self._heard.complete = True
            return

        def wire(text: str, thinking: str) -> str:
            return _line(_told(self._body, chat=self._chat, text=text, thinking=thinking))

        def error(fault: Fault) -> str:
            return _line({"error": fault.message})

        async for line in said(self._turn, self._heard, wire, error, self._most):
            yield str(line)
        if self._heard.complete:
            if self._turn.tool_calls:
                yield _line(_told(self._body, chat=self._chat, calls=self._turn))
            yield _line(_told(self._body, chat=self._chat, done=True, **self._counts()))

    async def whole(self) -> Response:
        lines = [json.loads(line) async for line in self.lines()]
        failed = next((line for line in lines if "error" in line), None)
        if failed is not None:
            return JSONResponse(failed, status_code=500)
        said = "message" if self._chat else None
        parts = [line[said] if said else line for line in lines]
        told = _told(
            self._body,
            chat=self._chat,
            text="".join(part.get("content" if self._chat else "response", "") for part in parts),
            thinking="".join(part.get("thinking", "") for part in parts),
            calls=self._turn,
            done=True,
            **self._counts(),
        )
        return JSONResponse(told)

    def _counts(self) -> dict[str, Any]:
        said = self._heard.pieces
        complete = self._most is None or said < self._most
        return {
            "done_reason": "stop" if complete else "length",
            "total_duration": self._loading + 1_000_000 * (said + 1),
            "load_duration": self._loading,
            "prompt_eval_count": self._evaluated,
            "prompt_eval_duration": 1_000_000,
            "eval_count": said,
            "eval_duration": 1_000_000 * said,
        }


_MODIFIED: Final = "2026-01-01T00:00:00Z"


def _messages(body: Mapping[str, Any], *, chat: bool) -> list[Mapping[str, Any]]:
    if chat:
        return list(body.get("messages") or ())
    prompt = body.get("prompt")
    return [{"role": "user", "content": prompt}] if prompt else []


def _told(
    body: Mapping[str, Any],
    *,
    chat: bool,
    text: str = "",
    thinking: str = "",
    calls: Turn | None = None,
    done: bool = False,
    **more: Any,
) -> dict[str, Any]:
    common = {"model": body.get("model"), "created_at": datetime.now(UTC).isoformat(), "done": done, **more}
    if not chat:
        return common | {"response": text} | ({"thinking": thinking} if thinking else {})
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls is not None and calls.tool_calls:
        message["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in calls.tool_calls
        ]
    return common | {"message": message}


def _kept_for(keep_alive: Any) -> timedelta | None:
    """Return how long a model is kept; ``None`` for ever."""
    if keep_alive is None:
        return _KEPT_FOR
    if isinstance(keep_alive, int | float):
        return None if keep_alive < 0 else timedelta(seconds=keep_alive)
    text = str(keep_alive)
    if text.startswith("-"):
        return None
    return parse_duration(float(text) if text.replace(".", "", 1).isdigit() else text)


def _details() -> dict[str, Any]:
    return {"format": "gguf", "family": "fake", "parameter_size": "0B", "quantization_level": "F32"}


def _unknown(body: Mapping[str, Any]) -> Response:
    return JSONResponse({"error": f"model '{body.get('model')}' not found"}, status_code=404)


def _failed(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    return JSONResponse({"error": fault.message}, status_code=fault.status, headers=headers)


def _line(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False) + "\n"


async def _lines(lines: Sequence[Mapping[str, Any]]) -> AsyncIterator[str]:
    for line in lines:
        yield _line(line)
