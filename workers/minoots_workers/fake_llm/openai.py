"""OpenAI's wire: chat completions, embeddings and the list of models, as every compatible server has them."""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .counting import tokens_sent
from .script import Fault, Playing, Turn, embedding, tokens_in
from .speaking import Heard, said

_CODES: Final = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class OpenAI:
    """The routes below ``/v1``."""

    def __init__(self, playing: Playing, heard: deque[Heard]) -> None:
        self._playing = playing
        self._heard = heard

    def routes(self) -> Sequence[Route]:
        """Return them."""
        return (
            Route("/v1/models", self.models),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
        )

    async def models(self, request: Request) -> Response:
        """Which models there are."""
        if (refused := self._refused(request)) is not None:
            return refused
        data = [
            {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "fake"}
            for name in sorted(self._playing.pulled)
        ]
        return JSONResponse({"object": "list", "data": data})

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        if (refused := self._refused(request)) is not None:
            return refused
        body = await request.json()
        heard = Heard(request.url.path, body)
        self._heard.append(heard)
        model = self._playing.model(str(body.get("model", "")))
        if model is None:
            return _error(404, f"The model `{body.get('model')}` does not exist")
        messages = list(body.get("messages") or ())
        sent = tokens_sent(messages, tools=body.get("tools"))
        if sent > model.context_length:
            told = (
                f"This model's maximum context length is {model.context_length} tokens. "
                f"However, your messages resulted in {sent} tokens."
            )
            return _error(400, told, code="context_length_exceeded")
        turn = self._playing.next(model.name, messages)
        if turn.fault is not None and turn.fault.kind == "status":
            return _failed(turn.fault)
        answer = _Answer(body, turn, heard, sent)
        if body.get("stream"):
            return StreamingResponse(answer.events(), media_type="text/event-stream")
        return await answer.whole()

    async def embeddings(self, request: Request) -> Response:
        """Return vectors."""
        if (refused := self._refused(request)) is not None:
            return refused
        body = await request.json()
        self._heard.append(Heard(request.url.path, body, complete=True))
        model = self._playing.model(str(body.get("model", "")))
        if model is None:
            return _error(404, f"The model `{body.get('model')}` does not exist")
        given = body.get("input", "")
        texts = [given] if isinstance(given, str) else list(given)
        length = int(body.get("dimensions") or model.embedding_length)
        data = [
            {"object": "embedding", "index": number, "embedding": embedding(text, length)}
            for number, text in enumerate(texts)
        ]
        count = tokens_in(*texts)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return JSONResponse({"object": "list", "data": data, "model": body["model"], "usage": usage})

    def _refused(self, request: Request) -> Response | None:
        wanted = self._playing.script.api_key
        if wanted is None or request.headers.get("authorization") == f"Bearer {wanted}":
            return None
        return _error(401, "Incorrect API key provided")


class _Answer:
    """One answer, as events or as a whole."""

    def __init__(self, body: Mapping[str, Any], turn: Turn, heard: Heard, sent: int) -> None:
        self._body = body
        self._turn = turn
        self._heard = heard
        self._sent = sent
        self._id = f"chatcmpl-{secrets.token_hex(8)}"
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        self._most = most if isinstance(most, int) else None

    async def events(self) -> AsyncIterator[str]:
        if self._turn.raw:
            for one in self._turn.raw:
                yield f"data: {one}\n\n"
            self._heard.complete = True
            yield "data: [DONE]\n\n"
            return

        def wire(text: str, thinking: str) -> str:
            delta = {"reasoning_content": thinking} if thinking else {"content": text}
            return self._chunk(delta)

        def error(fault: Fault) -> str:
            return _event({"error": _told(fault.status, fault.message)})

        yield self._chunk({"role": "assistant", "content": ""})
        async for event in said(self._turn, self._heard, wire, error, self._most):
            yield str(event)
        if not self._heard.complete:
            return
        for number, call in enumerate(_calls(self._turn)):
            yield self._chunk({"tool_calls": [{"index": number, **call}]})
        yield self._chunk({}, finish=self._finish())
        if (self._body.get("stream_options") or {}).get("include_usage"):
            yield _event({**self._about("chat.completion.chunk"), "choices": [], "usage": self._usage()})
        yield "data: [DONE]\n\n"

    async def whole(self) -> Response:
        text = thinking = ""
        async for event in self.events():
            told = event.removeprefix("data: ").strip()
            found = {} if told == "[DONE]" else json.loads(told)
            if "error" in found:
                return JSONResponse(found, status_code=500)
            for choice in found.get("choices", ()):
                text += choice["delta"].get("content") or ""
                thinking += choice["delta"].get("reasoning_content") or ""
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if thinking:
            message["reasoning_content"] = thinking
        if self._turn.tool_calls:
            message["tool_calls"] = _calls(self._turn)
        choice = {"index": 0, "message": message, "finish_reason": self._finish()}
        return JSONResponse({**self._about("chat.completion"), "choices": [choice], "usage": self._usage()})

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({**self._about("chat.completion.chunk"), "choices": [choice]})

    def _about(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": int(time.time()), "model": self._body["model"]}

    def _finish(self) -> str:
        if self._most is not None and self._heard.pieces >= self._most:
            return "length"
        return "tool_calls" if self._turn.tool_calls else "stop"

    def _usage(self) -> dict[str, Any]:
        said = self._heard.pieces
        return {
            "prompt_tokens": self._sent,
            "completion_tokens": said,
            "total_tokens": self._sent + said,
            "prompt_tokens_details": {"cached_tokens": self._turn.cached},
        }


def _calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{secrets.token_hex(6)}",
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": call.arguments
                if isinstance(call.arguments, str)
                else json.dumps(call.arguments, ensure_ascii=False),
            },
        }
        for call in turn.tool_calls
    ]


def _failed(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    return JSONResponse(
        {"error": _told(fault.status, fault.message)}, status_code=fault.status, headers=headers
    )


def _error(status: int, message: str, *, code: str | None = None) -> Response:
    return JSONResponse({"error": _told(status, message, code)}, status_code=status)


def _told(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    kind, usual = _CODES.get(status, ("server_error", None))
    return {"message": message, "type": kind, "param": None, "code": code or usual}


def _event(told: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(told, ensure_ascii=False)}\n\n"
