"""The front matter of a recording: made once, then only added to.

What people put in stays as they wrote it, line by line. Lists of ours grow at their end. One that cannot be
understood is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import yaml

from .writer import Look, Rendered

_FENCE: Final = "---"
_KEY: Final = re.compile(r"(?P<key>[A-Za-z][\w-]*):(?P<value>.*)")
_ITEM: Final = re.compile(r"(?P<indent>\s*)- (?P<value>.*)")
_LINE: Final = re.compile(r"(?:[\w\"'][^:\[{]*:(?:\s.*)?|\s+\S.*|- .*|\s*(?:#.*)?)")
"""A line that front matter may have: a key, something below one, an item, a comment."""
_BETWEEN: Final = re.compile(r"\s*(?:#.*)?")
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ._/@-]*")
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORDS: Final = frozenset("true false null yes no on off y n".split())


def made(look: Look, rendered: Rendered) -> str:
    """Return a new front matter, with a blank line behind it."""
    lines = [f"id: {_scalar(look.id)}", f"title: {_scalar(look.title)}", 'desc: ""']
    if look.created is not None:
        lines.append(f"created: {_millis(look.created)}")
    for key, values in _lists(look, rendered).items():
        lines += _list(key, values)
    return "\n".join([_FENCE, *lines, _FENCE, "", ""])


def grown(existing: str, look: Look, rendered: Rendered, now: datetime) -> str | None:
    """Return ``existing`` with what is new in its lists.

    ``None`` where nothing is new, or where there is no front matter that can be understood.
    """
    lines = existing.split("\n")
    end = next((at for at, line in enumerate(lines) if at and line.rstrip() == _FENCE), None)
    if lines[0].rstrip() != _FENCE or end is None:
        return None
    # As somebody's editor ends its lines.
    ending = "\r" if lines[0].endswith("\r") else ""
    head = [line.removesuffix("\r") for line in lines[1:end]]
    if not _is_understood(head):
        return None
    changed = [_grow(head, key, values) for key, values in _lists(look, rendered).items()]
    if not any(changed):
        return None
    if look.updated:
        _set(head, "updated", _millis(now))
    return "\n".join([lines[0], *(line + ending for line in head), *lines[end:]])


def _is_understood(head: Sequence[str]) -> bool:
    if not all(_LINE.fullmatch(line) for line in head) or (head and head[0].startswith("- ")):
        return False
    try:
        # What it would be made of, without making it.
        yaml.compose("\n".join(head), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return False
    return True


def _lists(look: Look, rendered: Rendered) -> Mapping[str, list[str]]:
    lists = {
        "participants": rendered.participants,
        "sessionIds": [look.session_id] if look.session_ids else [],
        "workspaceIds": [look.workspace_id] if look.workspace_ids and look.workspace_id else [],
        "recordingIds": [look.recording_id] if look.recording_ids else [],
        "tags": list(look.tags),
        "conversationEventKinds": rendered.kinds,
    }
    # Those that grow have their place from the beginning, whenever they do.
    growing = ["participants", *(["conversationEventKinds"] if look.event_kinds else [])]
    fixed = [key for key in ("sessionIds", "workspaceIds", "recordingIds", "tags") if lists[key]]
    return {key: lists[key] for key in lists if key in growing or key in fixed}


def _grow(head: list[str], key: str, values: Sequence[str]) -> bool:
    """Add to a list what is not in it; return whether anything was added."""
    at = _line_of(head, key)
    if at is None:
        head += _list(key, values) if values else []
        return bool(values)
    inline = head[at].partition(":")[2].strip()
    if inline not in ("", "[]"):
        # In one line, or no list at all: of somebody who writes it otherwise than we do.
        return False
    end = at + 1
    present = []
    indent = "  "
    for number, line in enumerate(head[end:], start=end):
        if item := _ITEM.fullmatch(line):
            present.append(_value(item["value"]))
            indent = item["indent"]
            end = number + 1
        elif line.startswith((" ", "\t")) and not _BETWEEN.fullmatch(line):
            return False  # something else than a list, or one that is nested
        elif not _BETWEEN.fullmatch(line):
            break
    new = [value for value in values if value not in present]
    if new:
        head[at] = f"{key}:"
        head[end:end] = [f"{indent}- {_scalar(value)}" for value in new]
    return bool(new)


def _set(head: list[str], key: str, value: int) -> None:
    at = _line_of(head, key)
    if at is None:
        head.append(f"{key}: {value}")
    else:
        head[at] = f"{key}: {value}"


def _line_of(head: list[str], key: str) -> int | None:
    for at, line in enumerate(head):
        if (match := _KEY.fullmatch(line)) and match["key"] == key:
            return at
    return None


def _list(key: str, values: Sequence[str]) -> list[str]:
    if not values:
        return [f"{key}: []"]
    return [f"{key}:", *(f"  - {_scalar(value)}" for value in values)]


def _scalar(text: str) -> str:
    # A JSON string is a YAML one; what cannot be mistaken stays bare.
    bare = _PLAIN.fullmatch(text) and text == text.strip() and text.lower() not in _WORDS
    if bare:
        return text
    return _UNSAFE.sub(lambda one: f"\\u{ord(one[0]):04x}", json.dumps(text, ensure_ascii=False))


def _value(text: str) -> str:
    text = text.strip()
    if text.startswith('"'):
        try:
            return str(json.JSONDecoder().raw_decode(text)[0])
        except ValueError:
            return text
    text = text.partition(" #")[0].rstrip()
    quoted = len(text) > 1 and text.startswith("'") and text.endswith("'")
    return text[1:-1].replace("''", "'") if quoted else text


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
