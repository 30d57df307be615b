"""Anthropic's wire: messages in named events."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .counting import tokens_sent
from .script import Fault, Playing, Turn
from .speaking import Heard, said

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Anthropic:
    """The routes of Anthropic."""

    def __init__(self, playing: Playing, heard: deque[Heard]) -> None:
        self._playing = playing
        self._heard = heard

    def routes(self) -> Sequence[Route]:
        """Return them."""
        return (Route("/v1/messages", self.messages, methods=["POST"]),)

    async def messages(self, request: Request) -> Response:
        """Answer a conversation."""
        wanted = self._playing.script.api_key
        # Its own package sends the key by the one or by the other, as its version will have it.
        given = (
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "").removeprefix("Bearer "),
        )
        if wanted is not None and wanted not in given:
            return _error(401, "invalid x-api-key")
        body = await request.json()
        heard = Heard(request.url.path, body)
        self._heard.append(heard)
        model = self._playing.model(str(body.get("model", "")))
        if model is None:
            return _error(404, f"model: {body.get('model')}")
        messages = list(body.get("messages") or ())
        sent = tokens_sent(messages, tools=body.get("tools"), system=body.get("system"))
        if sent > model.context_length:
            return _error(400, f"prompt is too long: {sent} tokens > {model.context_length} maximum")
        turn = self._playing.next(model.name, [*messages[:-1], _last(messages)])
        if turn.fault is not None and turn.fault.kind == "status":
            return _failed(turn.fault)
        answer = _Answer(body, turn, heard, sent)
        if body.get("stream"):
            return StreamingResponse(answer.events(), media_type="text/event-stream")
        return _error(400, "this stand-in speaks only streams on this wire")


class _Answer:
    """One answer, as events."""

    def __init__(self, body: Mapping[str, Any], turn: Turn, heard: Heard, sent: int) -> None:
        self._body = body
        self._turn = turn
        self._heard = heard
        self._sent = sent
        self._index = -1
        self._open: str | None = None

    async def events(self) -> AsyncIterator[str]:
        usage = {
            "input_tokens": self._sent - self._turn.cached,
            "cache_read_input_tokens": self._turn.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": 1,
        }
        message = {
            "id": f"msg_{secrets.token_hex(8)}",
            "type": "message",
            "role": "assistant",
            "model": self._body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        yield _event("message_start", message=message)

        def wire(text: str, thinking: str) -> str:
            return self._piece(text, thinking)

        def error(fault: Fault) -> str:
            return _event("error", error=_told(fault.status, fault.message))

        most = self._body.get("max_tokens")
        # Its client passes over what has no name of an event.
        garbage = "event: content_block_delta\ndata: {this is no JSON\n\n"
        async for event in said(self._turn, self._heard, wire, error, most, garbage):
            yield str(event)
        if not self._heard.complete:
            return
        yield self._end()
        for call in self._turn.tool_calls:
            self._index += 1
            block = {
                "type": "tool_use",
                "id": f"toolu_{secrets.token_hex(6)}",
                "name": call.name,
                "input": {},
            }
            yield _event("content_block_start", index=self._index, content_block=block)
            told = (
                call.arguments
                if isinstance(call.arguments, str)
                else json.dumps(call.arguments, ensure_ascii=False)
            )
            delta = {"type": "input_json_delta", "partial_json": told}
            yield _event("content_block_delta", index=self._index, delta=delta)
            yield _event("content_block_stop", index=self._index)
        yield _event(
            "message_delta",
            delta={"stop_reason": self._reason(most), "stop_sequence": None},
            usage={"output_tokens": self._heard.pieces},
        )
        yield _event("message_stop")

    def _piece(self, text: str, thinking: str) -> str:
        kind = "thinking" if thinking else "text"
        told = ""
        if self._open != kind:
            told = self._end()
            self._index, self._open = self._index + 1, kind
            block = {"type": kind, kind: ""} | ({"signature": ""} if thinking else {})
            told += _event("content_block_start", index=self._index, content_block=block)
        delta = {"type": f"{kind}_delta", kind: thinking or text}
        return told + _event("content_block_delta", index=self._index, delta=delta)

    def _end(self) -> str:
        if self._open is None:
            return ""
        self._open = None
        return _event("content_block_stop", index=self._index)

    def _reason(self, most: Any) -> str:
        if isinstance(most, int) and self._heard.pieces >= most:
            return "max_tokens"
        return "tool_use" if self._turn.tool_calls else "end_turn"


def _last(messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the last message with its text where the other wires have it, results of tools included."""
    last = dict(messages[-1]) if messages else {"content": ""}
    content = last.get("content")
    if isinstance(content, list):
        parts = [part.get("text") or part.get("content") or "" for part in content]
        last["content"] = "\n".join(str(part) for part in parts)
    return last


def _failed(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    body = {"type": "error", "error": _told(fault.status, fault.message)}
    return JSONResponse(body, status_code=fault.status, headers=headers)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"type": "error", "error": _told(status, message)}, status_code=status)


def _told(status: int, message: str) -> dict[str, str]:
    return {"type": _TYPES.get(status, "api_error"), "message": message}


def _event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, ensure_ascii=False)}\n\n"
