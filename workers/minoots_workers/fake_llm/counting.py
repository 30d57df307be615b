"""How many tokens a request has for the stand-in, of whatever wire it is.

Counts what a server puts before its model: messages, what the system says, tools. A schema of the answer is
none of it, for servers hold the answer to it without showing it to the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .script import tokens_in

PER_IMAGE: Final = 1_500
"""An image has so many, whatever its bytes: near what models that see make of a picture of common size."""
_IMAGES: Final = frozenset({"image", "image_url", "input_image"})
"""The types of parts that are an image: Anthropic's, and OpenAI's."""


def tokens_sent(messages: Iterable[Mapping[str, Any]], *, tools: object = None, system: object = None) -> int:
    """Return how many tokens a request has: its messages, its tools as JSON, and what the system says."""
    told: list[object] = []
    images = 0
    for message in messages:
        words, seen = _without_images(message)
        told.append(words)
        images += seen
    told += tools if isinstance(tools, list) else []
    told += [system] if system else []
    return images * PER_IMAGE + tokens_in(*(json.dumps(one, ensure_ascii=False) for one in told))


def _without_images(message: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a message without its images, and how many those are."""
    left = dict(message)
    seen = len(left.pop("images", None) or ())
    content = left.get("content")
    if isinstance(content, list):
        left["content"] = [part for part in content if not _is_image(part)]
        seen += len(content) - len(left["content"])
    return left, seen


def _is_image(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _IMAGES
