"""How many tokens a request has: the most that it can have, and how many it likely has.

Nobody here has the models' tokenizers. What is likely is learnt from what providers say that they evaluated,
by tenant, provider and model: one tenant sends English, another one code or Chinese. The most follows from
bytes, for no tokenizer makes more tokens than a text has bytes. Pure: others keep what was learnt.

What a model surely reads are the words of the messages. Tools are rendered by its chat template: as JSON, as
shorter declarations, without the keywords that a server does not know, or not at all after a tool's result;
a schema of the answer is a grammar of the sampler, which the model never sees; an image is 256 tokens to one
and 2,000 to another. So the alarm of what was not read looks at the words alone.
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
_UNREAD: Final = 0.45
_SURELY_UNREAD: Final = 0.7
"""The share of a request's words that a model has evaluated at least: of one that is not known, and of one
that is. Nothing was seen yet of the first, and its tokens may have nine bytes instead of four, as those of
indented code and of tables are; the second one's were counted, and what is sent changes by less."""
_FEW: Final = 0.25
"""The share of tools and schema beside words up to which what was learnt of a model holds for its words."""


@dataclass(frozen=True)
class Size:
    """A request, counted."""

    bytes: int
    messages: int
    images: int
    tools: bool
    aside: int = 0
    """Of the bytes, those of tools and of the schema: what a template may render shorter, or leave out."""

    @property
    def words(self) -> int:
        """The bytes that every model reads."""
        return self.bytes - self.aside

    @property
    def most(self) -> int:
        """The most tokens that it can be."""
        around = self.messages * _MOST_PER_MESSAGE + (_MOST_FOR_TOOLS if self.tools else 0)
        return self.bytes + around + self.images * _MOST_PER_IMAGE


def size_of(request: ModelRequest, messages: Sequence[Message]) -> Size:
    """Count a request whose messages are these."""
    count = aside = 0
    for message in messages:
        count += _bytes(message.text)
        for call in message.tool_calls:
            count += _bytes(call.name) + _bytes(call.malformed or json.dumps(call.arguments))
    for tool in request.tools:
        aside += _bytes(tool.name) + _bytes(tool.description) + _bytes(json.dumps(tool.parameters))
    if request.json_schema is not None:
        aside += _bytes(json.dumps(request.json_schema))
    images = sum(len(message.images) for message in messages)
    return Size(count + aside, len(messages), images, bool(request.tools), aside)


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

    def learn(
        self, tenant: str, model: tuple[str, str], size: Size, evaluated: int, *, whole: bool = True
    ) -> None:
        """Learn from what a provider evaluated; a request with images teaches nothing.

        Args:
            tenant: whose words they were.
            model: its provider and name.
            size: of what was sent.
            evaluated: the tokens that the provider counted.
            whole: whether tools and schema are among them as they were sent. Where they may not be, the words
                have a ratio between that of all and that of themselves alone; what is believed stays as near
                as it can.
        """
        told = evaluated - size.messages * _PER_MESSAGE
        if size.images or told < _NOISE:
            return
        most = size.bytes / told
        least = most if whole else size.words / told
        for whose in dict.fromkeys((tenant, EVERYBODY)):
            key = (whose, *model)
            known = self._learnt.get(key, Ratio())
            ratio = min(max(known.mean, least), most)
            remember(self._learnt, key, known.after(min(max(ratio, _LEAST), _GREATEST)))
            self._new.add(key)

    def unread(
        self, tenant: str, model: tuple[str, str], size: Size, evaluated: int, context_tokens: int | None
    ) -> int | None:
        """Return how many tokens were likely not read; ``None`` when all seem to have been.

        It is sure of it where the context is full, and where less was evaluated than the words alone must be:
        a model that renders tools shortly, or an image as few tokens, has read all and evaluates fewer than
        are likely. An alarm that is wrong costs an answer where ``models.on_truncation`` says ``fail``, and
        its trust everywhere; what it does not see, a server that can is told to refuse.
        """
        likely = self.likely(tenant, model, size)
        if context_tokens is not None and evaluated >= context_tokens:
            return max(likely - evaluated, 1)
        learnt = self._learnt.get((tenant, *model))
        sure = learnt is not None and learnt.answers >= _SURE_AFTER and size.aside <= size.words * _FEW
        words = self.likely(tenant, model, replace(size, bytes=size.words, aside=0, images=0))
        if words > 2 * _NOISE and evaluated < words * (_SURELY_UNREAD if sure else _UNREAD):
            return likely - evaluated
        return None

    def _ratio(self, tenant: str, model: tuple[str, str]) -> float:
        """Return the bytes of a token: those of a tenant, and until there are enough of him of all others."""
        own, all_ = (self._learnt.get((whose, *model), Ratio()) for whose in (tenant, EVERYBODY))
        weight = min(own.answers, _LAST)
        return (own.mean * weight + all_.mean * _SURE_AFTER) / (weight + _SURE_AFTER)
