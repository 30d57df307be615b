"""How many tokens a request has: the most that it can have, and how many it likely has.

Nobody here has the models' tokenizers. What is likely is learnt from what providers say that they evaluated,
by provider and model; the most follows from bytes, for no tokenizer makes more tokens than a text has bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from minoots.contracts.models import Message, ModelRequest

from .remembering import remember

_BYTES_PER_TOKEN: Final = 4.0
"""Before anything is learnt; English is near it, code and other scripts are below."""
_PER_MESSAGE: Final = 8
_MOST_PER_MESSAGE: Final = 64
_PER_IMAGE: Final = 1_500
_MOST_PER_IMAGE: Final = 16_384
_MOST_FOR_TOOLS: Final = 1_024
"""What a provider puts around tools, beside their schemas."""
_SURE_AFTER: Final = 3
"""Answers of a model after which its ratio is believed."""
_NOISE: Final = 96
"""Tokens below which a count says nothing."""


@dataclass(frozen=True)
class Size:
    """A request, counted."""

    bytes: int
    messages: int
    images: int
    tools: bool

    @property
    def most(self) -> int:
        """The most tokens that it can be."""
        around = self.messages * _MOST_PER_MESSAGE + (_MOST_FOR_TOOLS if self.tools else 0)
        return self.bytes + around + self.images * _MOST_PER_IMAGE


def size_of(request: ModelRequest, messages: Sequence[Message]) -> Size:
    """Count a request whose messages are these."""
    count = 0
    for message in messages:
        count += _bytes(message.text)
        for call in message.tool_calls:
            count += _bytes(call.name) + _bytes(call.malformed or json.dumps(call.arguments))
    for tool in request.tools:
        count += _bytes(tool.name) + _bytes(tool.description) + _bytes(json.dumps(tool.parameters))
    if request.json_schema is not None:
        count += _bytes(json.dumps(request.json_schema))
    images = sum(len(message.images) for message in messages)
    return Size(count, len(messages), images, bool(request.tools))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@dataclass
class _Learnt:
    ratio: float = _BYTES_PER_TOKEN
    answers: int = 0


class Estimates:
    """What was learnt of models, in this process."""

    def __init__(self) -> None:
        self._learnt: dict[tuple[str, str], _Learnt] = {}

    def likely(self, model: tuple[str, str], size: Size) -> int:
        """Return how many tokens a request likely has for a model, as provider and name."""
        ratio = self._learnt[model].ratio if model in self._learnt else _BYTES_PER_TOKEN
        return round(size.bytes / ratio) + size.messages * _PER_MESSAGE + size.images * _PER_IMAGE

    def learn(self, model: tuple[str, str], size: Size, evaluated: int) -> None:
        """Learn from what a provider evaluated; a request with images teaches nothing."""
        words = evaluated - size.messages * _PER_MESSAGE
        if size.images or words < _NOISE:
            return
        ratio = min(max(size.bytes / words, 1.0), 12.0)
        learnt = self._learnt.get(model) or _Learnt()
        remember(self._learnt, model, learnt)
        learnt.answers += 1
        learnt.ratio += (ratio - learnt.ratio) / min(learnt.answers, 10)

    def unread(
        self, model: tuple[str, str], size: Size, evaluated: int, context_tokens: int | None
    ) -> int | None:
        """Return how many tokens were likely not read; ``None`` when all seem to have been."""
        likely = self.likely(model, size)
        if context_tokens is not None and evaluated >= context_tokens:
            return max(likely - evaluated, 1)
        learnt = self._learnt.get(model)
        sure = learnt is not None and learnt.answers >= _SURE_AFTER
        least = likely * (0.7 if sure else 0.45)
        if likely > 2 * _NOISE and evaluated < least:
            return likely - evaluated
        return None
