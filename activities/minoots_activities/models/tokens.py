"""How many tokens a request has: the most that it can have, and how many it likely has.

Nobody here has the models' tokenizers. What is likely is learnt from what providers say that they evaluated,
by tenant, provider and model: one tenant sends English, another one code or Chinese. The most follows from
bytes, for no tokenizer makes more tokens than a text has bytes. Pure: others keep what was learnt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
_LAST: Final = 10
"""Answers that count, about: what is sent changes."""
_FORGETS: Final = 1.02
"""How fast the densest text that was seen is forgotten: after ten answers it is still within the margin."""
_MARGIN: Final = 1.25
"""What is held for a text that may be denser than any that was seen."""
_LEAST, _GREATEST = 1.0, 12.0
"""Bytes that a token can have, for all that is believed."""
EVERYBODY: Final = ""
"""In the place of a tenant: all of them together."""
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


@dataclass(frozen=True)
class Ratio:
    """What was learnt of a model.

    Attributes:
        mean: bytes that a token has, of the last answers.
        least: of the densest of them.
        answers: how many it was learnt from.
    """

    mean: float = _BYTES_PER_TOKEN
    least: float = _BYTES_PER_TOKEN
    answers: int = 0

    def after(self, ratio: float) -> Ratio:
        """Return what is known after one more answer."""
        answers = self.answers + 1
        mean = self.mean + (ratio - self.mean) / min(answers, _LAST)
        least = ratio if self.answers == 0 else min(ratio, self.least * _FORGETS)
        return Ratio(mean, least, answers)


Key = tuple[str, str, str]
"""Tenant, provider, model."""


class Estimates:
    """What was learnt of models, in this process."""

    def __init__(self) -> None:
        self._learnt: dict[Key, Ratio] = {}
        self._new: set[Key] = set()

    def know(self, learnt: Mapping[Key, Ratio]) -> None:
        """Begin with what was learnt before; what this process has learnt itself stays."""
        for key, ratio in learnt.items():
            if key not in self._learnt:
                remember(self._learnt, key, ratio)

    def news(self) -> dict[Key, Ratio]:
        """Return what was learnt since this was asked the last time."""
        new, self._new = self._new, set()
        return {key: self._learnt[key] for key in new if key in self._learnt}

    def likely(self, tenant: str, model: tuple[str, str], size: Size) -> int:
        """Return how many tokens a request of a tenant likely has for a model, as provider and name."""
        ratio = self._ratio(tenant, model)
        return round(size.bytes / ratio) + size.messages * _PER_MESSAGE + size.images * _PER_IMAGE

    def at_most(self, tenant: str, model: tuple[str, str], size: Size) -> int:
        """Return how many tokens are held for a request where an estimate will do.

        As dense as the densest text of this tenant that the model was sent, and a quarter more; the bound of
        `Size.most` where too little was seen, and never more than that.
        """
        own = self._learnt.get((tenant, *model))
        if own is None or own.answers < _SURE_AFTER:
            return size.most
        around = replace(size, bytes=0).most
        return min(size.most, math.ceil(size.bytes / own.least * _MARGIN) + around)

    def learn(self, tenant: str, model: tuple[str, str], size: Size, evaluated: int) -> None:
        """Learn from what a provider evaluated; a request with images teaches nothing."""
        words = evaluated - size.messages * _PER_MESSAGE
        if size.images or words < _NOISE:
            return
        ratio = min(max(size.bytes / words, _LEAST), _GREATEST)
        for whose in dict.fromkeys((tenant, EVERYBODY)):
            key = (whose, *model)
            remember(self._learnt, key, self._learnt.get(key, Ratio()).after(ratio))
            self._new.add(key)

    def unread(
        self, tenant: str, model: tuple[str, str], size: Size, evaluated: int, context_tokens: int | None
    ) -> int | None:
        """Return how many tokens were likely not read; ``None`` when all seem to have been."""
        likely = self.likely(tenant, model, size)
        if context_tokens is not None and evaluated >= context_tokens:
            return max(likely - evaluated, 1)
        learnt = self._learnt.get((tenant, *model))
        sure = learnt is not None and learnt.answers >= _SURE_AFTER
        least = likely * (0.7 if sure else 0.45)
        if likely > 2 * _NOISE and evaluated < least:
            return likely - evaluated
        return None

    def _ratio(self, tenant: str, model: tuple[str, str]) -> float:
        """Return the bytes of a token: those of a tenant, and until there are enough of him of all others."""
        own, all_ = (self._learnt.get((whose, *model), Ratio()) for whose in (tenant, EVERYBODY))
        weight = min(own.answers, _LAST)
        return (own.mean * weight + all_.mean * _SURE_AFTER) / (weight + _SURE_AFTER)
