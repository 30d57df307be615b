"""OpenAI's wire: what is sent and what comes back, for everybody who speaks it.

Pure: bodies and chunks are plain JSON, whoever carries them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from minoots.contracts.models import FinishReason, Message, Role

from .faults import broken, error_of, garbled, of_status
from .provider import (
    Call,
    Done,
    Piece,
    Text,
    Thinking,
    ToolPart,
    count_of,
    mapping_of,
    name_of,
    rows_of,
    text_of,
)

_FINISH: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.FILTERED,
}


def body(call: Call, *, output_field: str) -> dict[str, Any]:
    """Return what is sent to have a conversation answered in a stream."""
    request = call.request
    told = {
        "model": call.model,
        "messages": [_message(message, call.images) for message in call.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        call.output_field or output_field: call.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
        or None,
    }
    if request.json_schema is not None:
        # Not strict: that allows only a part of JSON Schema. The router holds the answer against the schema.
        told["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.json_schema, "strict": False},
        }
    return {name: value for name, value in told.items() if value is not None}


class Reading:
    """Chunks of one answer, in order."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._finish: FinishReason | None = None
        self._usage: Mapping[str, Any] = {}
        self._model: str | None = None
        self._refused = False
        self._last = -1
        """The call that a part has come of."""
        self.reached = False
        """Whether something of an answer has come."""

    def pieces(self, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what a chunk brings.

        Raises:
            ModelFailure: for a chunk that says that the provider failed, and for one that is none.
        """
        if chunk.get("error"):
            said, code = error_of(chunk)
            status = chunk["error"].get("status") if isinstance(chunk["error"], dict) else None
            raise of_status(self._provider, status if isinstance(status, int) else 500, said, code)
        self.reached = True
        self._model = name_of(chunk.get("model")) or self._model
        self._usage = mapping_of(chunk.get("usage")) or self._usage
        try:
            choices = rows_of(chunk.get("choices"))
            told = [(choice, mapping_of(choice.get("delta"))) for choice in choices]
            calls = [rows_of(delta.get("tool_calls")) for _, delta in told]
        except ValueError as error:
            raise garbled(self._provider, f"got a chunk that is none: {error}") from error
        for (choice, delta), parts in zip(told, calls, strict=True):
            if thought := text_of(delta.get("reasoning_content") or delta.get("reasoning")):
                yield Thinking(thought)
            if said := text_of(delta.get("content")):
                yield Text(said)
            if refusal := text_of(delta.get("refusal")):
                self._refused = True
                yield Text(refusal)
            for part in parts:
                function = mapping_of(part.get("function"))
                name = name_of(function.get("name"))
                yield ToolPart(
                    self._place(part.get("index"), name),
                    text_of(function.get("arguments")),
                    name_of(part.get("id")),
                    name,
                )
            if choice.get("finish_reason"):
                self._finish = _FINISH.get(str(choice["finish_reason"]), FinishReason.STOP)

    def _place(self, told: object, name: str | None) -> int:
        """Return which call a part belongs to: some servers do not say, and begin each one with its name."""
        if (index := count_of(told)) is None:
            index = self._last + (name is not None or self._last < 0)
        self._last = index
        return index

    def done(self) -> Done:
        """Return the end of the answer.

        Raises:
            ModelFailure: when it broke off before it had one.
        """
        if self._finish is None:
            raise broken(self._provider, "it ended without saying why")
        details = mapping_of(self._usage.get("prompt_tokens_details"))
        finish = FinishReason.FILTERED if self._refused else self._finish
        return Done(
            finish,
            count_of(self._usage.get("prompt_tokens")),
            count_of(self._usage.get("completion_tokens")),
            count_of(details.get("cached_tokens")) or 0,
            model=self._model,
        )


def _message(message: Message, images: Mapping[str, bytes]) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role.value, "content": message.text}
    if message.images:
        parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
        parts += [
            {"type": "image_url", "image_url": {"url": data_url(images[one])}} for one in message.images
        ]
        told["content"] = parts
    if message.tool_calls:
        told["content"] = message.text or None
        told["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.malformed or json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for call in message.tool_calls
        ]
    if message.role is Role.TOOL:
        told["tool_call_id"] = message.tool_call_id
    return told


def media_type(image: bytes) -> str:
    """Return the media type of an image, by its first bytes."""
    if image.startswith(b"\x89PNG"):
        return "image/png"
    if image.startswith(b"GIF8"):
        return "image/gif"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    return "image/jpeg"


def data_url(image: bytes) -> str:
    """Return an image as a URL that holds it."""
    return f"data:{media_type(image)};base64,{base64.b64encode(image).decode()}"
