"""Anthropic, through its own package (the extra ``anthropic``).

Its wire has no JSON Schema for answers that every model knows: such an answer is asked for as the call of one
tool, and its arguments are the answer.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Final

from minoots.contracts.models import FinishReason, Message, ModelErrorKind, Role
from minoots_platform.models import Catalogue
from minoots_platform.settings import ProviderSpec
from minoots_workflows.models.failures import ModelFailure

from .faults import broken
from .openai_wire import media_type
from .provider import (
    Call,
    Counted,
    Done,
    Patience,
    Piece,
    ProviderKind,
    Text,
    Thinking,
    ToolPart,
    Vectors,
    count_of,
)
from .sdk import SdkProvider

ANSWER: Final = "answer"
_LEAST_THINKING: Final = 1024
_FINISH: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.FILTERED,
}


class AnthropicProvider(SdkProvider):
    """Anthropic's own service, or one that its package can be pointed at."""

    package = "anthropic"
    client_class = "AsyncAnthropic"
    usual_url = "https://api.anthropic.com"

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Yield an answer."""
        client = await self.client()
        reading = _Reading(self.name, as_text=call.request.json_schema is not None)
        try:
            async with await client.messages.create(**body(call), stream=True) as events:
                async for event in events:
                    for piece in reading.pieces(event.to_dict(warnings=False)):
                        yield piece
            yield reading.done()
        except Exception as error:
            raise await self.failure(error, reached=reading.reached) from error

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        """Refuse: it has no embeddings.

        Raises:
            ModelFailure: unsupported.
        """
        raise ModelFailure(ModelErrorKind.UNSUPPORTED, f"{self.name} makes no embeddings")


class Anthropic(ProviderKind):
    """Opens Anthropic."""

    kind: ClassVar[str] = "anthropic"

    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> AnthropicProvider:
        """Return a provider."""
        return AnthropicProvider(spec, catalogue, patience)


def body(call: Call) -> dict[str, Any]:
    """Return what is sent to have a conversation answered."""
    request = call.request
    tools = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
        for tool in request.tools
    ]
    system = [message.text for message in call.messages if message.role is Role.SYSTEM]
    most = call.max_tokens or 4096
    told: dict[str, Any] = {
        "model": call.model,
        "messages": _turns(call),
        "max_tokens": most,
        "system": "\n\n".join(system) or None,
        "temperature": request.temperature,
        "stop_sequences": list(request.stop) or None,
        "tools": tools or None,
    }
    if request.json_schema is not None:
        tool = {"name": ANSWER, "description": "Gives the answer.", "input_schema": request.json_schema}
        told["tools"] = [*tools, tool]
        if not tools:
            told["tool_choice"] = {"type": "tool", "name": ANSWER}
    elif request.think and most > _LEAST_THINKING and not _called(call.messages):
        told["thinking"] = {"type": "enabled", "budget_tokens": max(_LEAST_THINKING, most // 2)}
        # It takes no other than its own beside it, and refuses the request.
        told["temperature"] = None
    return {name: value for name, value in told.items() if value is not None}


def _called(messages: Sequence[Message]) -> bool:
    """Tell whether the model called tools when it spoke last.

    What it thought before that would have to be sent back with its signature, and is not kept: thinking goes
    on when somebody has spoken after its next answer.
    """
    spoke = [message for message in messages if message.role is Role.ASSISTANT]
    return bool(spoke) and bool(spoke[-1].tool_calls)


class _Reading:
    """Events of one answer, in order."""

    def __init__(self, provider: str, *, as_text: bool) -> None:
        self._provider = provider
        self._as_text = as_text
        self._finish: FinishReason | None = None
        self._usage: dict[str, Any] = {}
        self._model: str | None = None
        self._tools: dict[int, int] = {}
        self._answers: set[int] = set()
        self.reached = False

    def pieces(self, event: Mapping[str, Any]) -> list[Piece]:
        """Return what an event brings."""
        self.reached = True
        match event.get("type"):
            case "message_start":
                message = event["message"]
                self._model = message.get("model")
                self._usage |= _numbers(message.get("usage"))
                read, cached, written = self._input()
                return [] if read is None else [Counted(read, cached, written)]
            case "content_block_start":
                return self._begun(int(event["index"]), event["content_block"])
            case "content_block_delta":
                return self._more(int(event["index"]), event["delta"])
            case "message_delta":
                self._usage |= _numbers(event.get("usage"))
                reason = (event.get("delta") or {}).get("stop_reason")
                if reason:
                    self._finish = _FINISH.get(reason, FinishReason.STOP)
        return []

    def done(self) -> Done:
        """Return the end of the answer.

        Raises:
            ModelFailure: when it broke off before it had one.
        """
        if self._finish is None:
            raise broken(self._provider, "it ended without saying why")
        finish = self._finish
        if finish is FinishReason.TOOL_CALLS and not self._tools:
            finish = FinishReason.STOP
        read, cached, written = self._input()
        return Done(finish, read, self._usage.get("output_tokens"), cached, written, self._model)

    def _begun(self, index: int, block: Mapping[str, Any]) -> list[Piece]:
        if block["type"] != "tool_use":
            return []
        if self._as_text and block["name"] == ANSWER:
            self._answers.add(index)
            return []
        self._tools[index] = len(self._tools)
        return [ToolPart(self._tools[index], "", block["id"], block["name"])]

    def _more(self, index: int, delta: Mapping[str, Any]) -> list[Piece]:
        match delta.get("type"):
            case "text_delta":
                # Beside an answer by a tool it says what it does, which is no part of the answer.
                return [] if self._as_text and self._answers else [Text(delta["text"])]
            case "thinking_delta":
                return [Thinking(delta["thinking"])]
            case "input_json_delta" if index in self._answers:
                return [Text(delta["partial_json"])] if delta["partial_json"] else []
            case "input_json_delta":
                return [ToolPart(self._tools[index], delta["partial_json"])]
        return []

    def _input(self) -> tuple[int | None, int, int]:
        cached = self._usage.get("cache_read_input_tokens", 0)
        written = self._usage.get("cache_creation_input_tokens", 0)
        plain = self._usage.get("input_tokens")
        return None if plain is None else plain + cached + written, cached, written


def _numbers(usage: object) -> dict[str, int]:
    found = {name: count_of(value) for name, value in usage.items()} if isinstance(usage, Mapping) else {}
    return {name: count for name, count in found.items() if count is not None}


def _turns(call: Call) -> list[dict[str, Any]]:
    """Return the messages: results of tools are said by the user, and one's messages in a row are one."""
    turns: list[dict[str, Any]] = []
    for message in call.messages:
        if message.role is Role.SYSTEM:
            continue
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        blocks = _blocks(message, call.images)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message, images: Mapping[str, bytes]) -> list[dict[str, Any]]:
    if message.role is Role.TOOL:
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}]
    blocks: list[dict[str, Any]] = []
    if message.text:
        blocks.append({"type": "text", "text": message.text})
    for one in message.images:
        source = {
            "type": "base64",
            "media_type": media_type(images[one]),
            "data": base64.b64encode(images[one]).decode(),
        }
        blocks.append({"type": "image", "source": source})
    for call in message.tool_calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
    return blocks
