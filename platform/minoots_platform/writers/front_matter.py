"""The front matter of a recording: made once, then only added to.

What people put in stays as they wrote it, to the character. A reader of YAML says where our lists end, and
has to find everything else equal afterwards; where it does not, or cannot read it at all, nothing is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from .writer import Look, Rendered
from .yaml_head import ALIAS, LIST, SCALAR, Event, Head, Sign, read

_FENCE: Final = "---"
_LONGEST: Final = 65_536
"""Characters of a front matter that is looked into: a longer one is no work of a person."""
_BEGIN: Final = re.compile(r"---[ \t]*(?P<ending>\r?)\n")
_END: Final = re.compile(r"(?m)^---[ \t]*\r?$")
_DASH: Final = re.compile(r"(?m)^(?P<indent> *)-(?=\s)")
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
    parts = _divided(existing)
    if parts is None:
        return None
    head, ending, begin, end = parts
    changed = head
    for key, values in _lists(look, rendered).items():
        changed = _grow(changed, key, values, ending)
    if changed is head:
        return None
    if look.updated:
        changed = _set(changed, "updated", str(_millis(now)), ending)
    return existing[:begin] + changed.text + existing[end:]


def dated(existing: str, look: Look, now: datetime) -> str:
    """Return ``existing`` with the time at which it was written, where that is wanted."""
    parts = _divided(existing) if look.updated else None
    if parts is None:
        return existing
    head, ending, begin, end = parts
    return existing[:begin] + _set(head, "updated", str(_millis(now)), ending).text + existing[end:]


def _divided(existing: str) -> tuple[Head, str, int, int] | None:
    """Return the front matter of a file, how its lines end, and where it begins and ends."""
    begin = _BEGIN.match(existing)
    end = begin and _END.search(existing, begin.end(), begin.end() + _LONGEST)
    if begin is None or end is None:
        return None
    head = read(existing[begin.end() : end.start()])
    # As somebody's editor ends its lines.
    return None if head is None else (head, begin["ending"] + "\n", begin.end(), end.start())


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


def _grow(head: Head, key: str, values: Sequence[str], ending: str) -> Head:
    """Add to a list what is not in it; return the same where nothing is new, or it is no list."""
    if key not in head.keys:
        lines = _list(key, values) if values else []
        return _appended(head, lines, ending) if lines else head
    place = head.keys[key]
    if place is None:
        return head  # it is there twice, and who knows which counts
    first, last = place
    begins = head.events[first]
    items = [event.value for event in head.events[first + 1 : last] if event.kind == SCALAR]
    new = [value for value in dict.fromkeys(values) if value not in items]
    if not new:
        return head
    edit = None
    if begins.sign == (SCALAR, None, None, "", None):  # nothing behind the key
        at = _line_behind(head.text, begins.end)
        edit = (at, at, _items(new, f"{head.indent}  ", ending))
    elif begins.kind == LIST and begins.sign[2] is None:
        shared = any(event.kind == ALIAS and event.anchor == begins.anchor for event in head.events)
        edit = None if shared else _longer(head, first, last, new, ending)
    if edit is None:
        return head
    at, until, text = edit
    more: list[Sign] = [(SCALAR, None, None, value, _style(value)) for value in new]
    expected = head.signs()
    if begins.kind == SCALAR:
        expected[first : last + 1] = [_LIST_BEGINS, *more, _LIST_ENDS]
    else:
        expected[last:last] = more
    return _verified(head, head.text[:at] + text + head.text[until:], expected)


_LIST_BEGINS: Final = (LIST, None, None, None, None)
_LIST_ENDS: Final = ("SequenceEndEvent", None, None, None, None)


def _longer(
    head: Head, first: int, last: int, new: Sequence[str], ending: str
) -> tuple[int, int, str] | None:
    """Return what of the text of a list to replace with what."""
    text, begins = head.text, head.events[first]
    if begins.flow:
        told = ", ".join(_scalar(value) for value in new)
        if last > first + 1:
            at = head.events[last - 1].end
            return at, at, f", {told}"
        until = head.events[last].end
        start = head.events[last].begin
        line = text[: begins.begin].rpartition("\n")[2]
        rest = text[until : _line_behind(text, until)]
        if begins.anchor or rest.strip() or not re.fullmatch(r" *[\w-]+:[ ]+", line):
            return start, start, told
        # One of ours, which has been empty so far.
        at = begins.begin - (len(line) - len(line.rstrip()))
        return at, until + len(rest), ending + _items(new, f"{head.indent}  ", ending)
    dash = _DASH.search(text, begins.begin - begins.column)
    if dash is None:
        return None
    # The ends of blocks are told as those of the blank lines and comments behind them.
    leaf = last - 1
    while head.events[leaf].depth < 0 and not head.events[_begin(head.events, leaf)].flow:
        leaf -= 1
    end = head.events[leaf].end
    at = end if text[end - 1] == "\n" else _line_behind(text, end)
    gap = "" if not at or text[at - 1] == "\n" else ending
    return at, at, gap + _items(new, dash["indent"], ending)


def _begin(events: Sequence[Event], end: int) -> int:
    """Return where what ends at an event has begun."""
    depth = 0
    while True:
        depth += events[end].depth
        if not depth:
            return end
        end -= 1


def _set(head: Head, key: str, value: str, ending: str) -> Head:
    """Set a key to a number; return the same where it is something else than a plain value."""
    if key not in head.keys:
        return _appended(head, [f"{key}: {value}"], ending)
    place = head.keys[key]
    event = None if place is None else head.events[place[0]]
    plain = event is not None and event.sign[:3] == (SCALAR, None, None) and event.sign[4] not in ("|", ">")
    if place is None or event is None or not plain:
        return head
    begin, end = event.begin, event.end
    expected = head.signs()
    expected[place[0]] = (SCALAR, None, None, value, None)
    space = "" if begin < end else " "
    return _verified(head, head.text[:begin] + space + value + head.text[end:], expected)


def _appended(head: Head, lines: Sequence[str], ending: str) -> Head:
    """Add a key at the end."""
    more = read("\n".join(lines))
    if more is None:
        return head
    text = head.text + "".join(head.indent + line + ending for line in lines)
    signs = head.signs() or more.signs()
    expected = [*signs[:-1], *more.signs()[1:-1], signs[-1]] if head.events else signs
    return _verified(head, text, expected)


def _verified(head: Head, text: str, expected: Sequence[Sign]) -> Head:
    """Return a changed one, if a reader finds in it what was meant and nothing else."""
    changed = read(text)
    return head if changed is None or changed.signs() != list(expected) else changed


def _line_behind(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _items(values: Sequence[str], indent: str, ending: str) -> str:
    return "".join(f"{indent}- {_scalar(value)}{ending}" for value in values)


def _list(key: str, values: Sequence[str]) -> list[str]:
    if not values:
        return [f"{key}: []"]
    return [f"{key}:", *(f"  - {_scalar(value)}" for value in values)]


def _scalar(text: str) -> str:
    # A JSON string is a YAML one; what cannot be mistaken stays bare.
    if _style(text) is None:
        return text
    return _UNSAFE.sub(lambda one: f"\\u{ord(one[0]):04x}", json.dumps(text, ensure_ascii=False))


def _style(text: str) -> str | None:
    bare = _PLAIN.fullmatch(text) and text == text.strip() and text.lower() not in _WORDS
    return None if bare else '"'


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
