"""What Claude Code's records hold: prompts, results of tools, tokens, and who speaks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minoots.contracts.conversations import Tokens

from .reader import Blob, digest
from .texts import clean
from .values import as_text, blob, count


def speaker(origin: Any) -> str | None:
    """Return who speaks, as the record says; ``None`` where it says nothing."""
    if origin is None:
        return None
    kind = origin.get("kind") if isinstance(origin, Mapping) else origin
    return kind if isinstance(kind, str) and kind else "unknown"


def prompt(content: Any) -> tuple[list[str], list[Blob]]:
    """Return the texts of a prompt, each cleaned, and what was given along with it."""
    if isinstance(content, str):
        return [clean(content)], []
    texts: list[str] = []
    blobs: list[Blob] = []
    for block in content if isinstance(content, list) else ():
        match block.get("type") if isinstance(block, Mapping) else None:
            case "text":
                texts.append(clean(str(block.get("text", ""))))
            case "image" | "document":
                blobs += blobs_in(block.get("source"))
    return texts, blobs


def unnamed(record: Mapping[str, Any], block: Mapping[str, Any]) -> str:
    """Return a name for a call without an id: of its record, and what it says."""
    return f"{record.get('uuid')}/{digest(as_text(block))}"


def tokens_in(usage: Mapping[str, Any]) -> Tokens:
    """Return the tokens of an answer."""
    return Tokens(
        input=count(usage, "input_tokens"),
        cache_read=count(usage, "cache_read_input_tokens"),
        cache_write=count(usage, "cache_creation_input_tokens"),
        output=count(usage, "output_tokens"),
    )


def output_in(content: Any) -> tuple[str, list[Blob]]:
    """Return the text and the images of a tool's result, which is a text or a list of parts."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    blobs: list[Blob] = []
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping):
            continue
        match part.get("type"):
            case "text":
                texts.append(str(part.get("text", "")))
            case "image" | "document":
                blobs += blobs_in(part.get("source"))
            case "tool_reference":
                texts.append(str(part.get("tool_name", "")))
    if content is not None and not isinstance(content, list):
        texts.append(as_text(content))
    return "\n".join(texts), blobs


def blobs_in(source: Any) -> list[Blob]:
    """Return the bytes of an image or a document, in a list; an empty one where there are none."""
    return blob(source.get("data"), source.get("media_type")) if isinstance(source, Mapping) else []
