"""What Codex' records hold: texts, thoughts, calls and their results, tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from minoots.contracts.conversations import Tokens
from minoots_activities.capture.recovery import holdable

from .reader import Blob
from .values import count, data_url

CALLS: Final = frozenset({"local_shell_call", "web_search_call", "tool_search_call", "image_generation_call"})
"""Of tools that come with the model: what they are asked stands in an action."""
SILENT: Final = frozenset(
    "compaction compaction_summary context_compaction compaction_trigger ghost_snapshot other".split()
)
"""Items that say nothing, or nothing that can be read."""
RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output", "tool_search_output"})


def parts_of(content: Any) -> list[Mapping[str, Any]]:
    """Return the parts of a message's content."""
    return [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []


def joined(parts: Any) -> str:
    """Return the texts of parts, in lines."""
    return "\n".join(text for one in parts_of(parts) if isinstance(text := one.get("text"), str) and text)


def images(given: Any) -> list[Blob]:
    """Return the images of parts, or of URLs, that stand in them as data."""
    found: list[Blob] = []
    for one in given if isinstance(given, list) else ():
        found += data_url(one.get("image_url") if isinstance(one, Mapping) else one)
    return found


def thoughts(payload: Mapping[str, Any]) -> list[str]:
    """Return what was thought; the summaries, or else the thoughts themselves."""
    for name in ("summary", "summary_text", "content", "raw_content"):
        found = payload.get(name)
        if not isinstance(found, list):
            continue
        texts = [one.get("text") if isinstance(one, Mapping) else one for one in found]
        if told := [text for text in texts if isinstance(text, str) and text.strip()]:
            return told
    return []


def call_in(payload: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the name of the tool that is called, and what it is asked."""
    what = str(payload.get("type"))
    if what in CALLS:
        return what.removesuffix("_call"), payload.get("action")
    space, name = payload.get("namespace"), str(payload.get("name", ""))
    name = f"{space}.{name}" if isinstance(space, str) and space else name
    if what == "custom_tool_call":
        return name, payload.get("input")
    return name, _arguments(payload.get("arguments"))


def output_in(value: Any) -> tuple[str, bool]:
    """Return the text of a result, which may be parts, or JSON within a text; and whether it failed."""
    if isinstance(value, list):
        return joined(value), False
    if isinstance(value, Mapping):
        return str(value.get("content") or value.get("output") or ""), value.get("success") is False
    text = "" if value is None else str(value)
    if text.startswith('{"output"'):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text, False
        about = found.get("metadata")
        code = about.get("exit_code") if isinstance(about, Mapping) else None
        return str(found.get("output", "")), code not in (None, 0)
    return text, False


def tokens_in(last: Mapping[str, Any]) -> Tokens:
    """Return the tokens of one answer. Those that were cached are among those that came in."""
    cached = count(last, "cached_input_tokens") or 0
    return Tokens(
        input=max(0, (count(last, "input_tokens") or 0) - cached),
        cache_read=cached,
        output=count(last, "output_tokens"),
        thinking=count(last, "reasoning_output_tokens"),
    )


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return holdable(orjson.loads(value))
    except orjson.JSONDecodeError:
        return value
