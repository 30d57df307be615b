"""What a server answers to a call, as its model is told: texts as they are, everything else as files.

Pure. A server's own schema is not held against its answer.
"""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from dataclasses import dataclass
from typing import Final

from mcp import types

_MOST_PARTS: Final = 64
_MOST_FILES: Final = 8
_MOST_TEXT: Final = 256 * 1024
"""Characters that are put together; a model is told fewer."""


@dataclass(frozen=True)
class Attachment:
    """Bytes that came with an answer: an image, a sound, a file.

    Attributes:
        ending: of a file's name, from its type.
    """

    data: bytes
    ending: str
    media_type: str


@dataclass(frozen=True)
class Answer:
    """What came of a call.

    Attributes:
        parts: texts, and what is to be kept in a file, in order.
        failed: whether the tool says that it failed.
    """

    parts: tuple[str | Attachment, ...]
    failed: bool


def answer_of(result: types.CallToolResult) -> Answer:
    """Return what the model is told of an answer."""
    parts: list[str | Attachment] = []
    files = size = 0
    for block in result.content[:_MOST_PARTS]:
        part = _part(block)
        if isinstance(part, Attachment):
            files += 1
            if files > _MOST_FILES:
                part = f"({part.media_type}, {len(part.data)} bytes: left out)"
        if isinstance(part, str):
            left_out = size + len(part) - _MOST_TEXT
            if left_out > 0:
                parts += [part[: _MOST_TEXT - size], f"({left_out} more characters left out)"]
                break
            size += len(part)
        parts.append(part)
    if len(result.content) > _MOST_PARTS:
        parts.append(f"({len(result.content) - _MOST_PARTS} more parts left out)")
    # Servers are to say it in words, too; of those that do, once is enough.
    if result.structured_content is not None and not any(isinstance(part, str) for part in parts):
        parts.append(json.dumps(result.structured_content, ensure_ascii=False)[:_MOST_TEXT])
    return Answer(tuple(parts), bool(result.is_error))


def _part(block: types.ContentBlock) -> str | Attachment:
    if isinstance(block, types.TextContent):
        return block.text
    if isinstance(block, types.ImageContent | types.AudioContent):
        return _bytes(block.data, block.mime_type)
    if isinstance(block, types.EmbeddedResource):
        inner = block.resource
        if isinstance(inner, types.TextResourceContents):
            return inner.text
        return _bytes(inner.blob, inner.mime_type or "application/octet-stream")
    return f"(a resource of the server: {str(block.uri)[:500]})"


def _bytes(encoded: str, media_type: str) -> str | Attachment:
    kind = "".join(one for one in media_type[:100] if one.isprintable())
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return f"({kind}: left out, for it is no base64)"
    return Attachment(data, mimetypes.guess_extension(kind.partition(";")[0].strip()) or ".bin", kind)
