"""Keys and values at the head of a file, as a reader of YAML finds them. Pure.

Says where in the text each of them stands, and makes nothing of them: no number, no date, no object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

# The one in C, where it was built: twenty times as fast, and bounded in depth.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEEPEST: Final = 50
"""Lists and mappings in one another that are looked into."""

Sign = tuple[str, str | None, str | None, str | None, str | None]
"""What an event of a reader says, without where it stands: kind, anchor, tag, value and style."""


@dataclass(frozen=True)
class Event:
    """What a reader of YAML tells of one thing, and where in the text it stands."""

    sign: Sign
    flow: bool
    begin: int
    column: int
    end: int

    @property
    def kind(self) -> str:
        """What the reader calls it."""
        return self.sign[0]

    @property
    def anchor(self) -> str | None:
        """What it is named, or of an alias, whom it means."""
        return self.sign[1]

    @property
    def value(self) -> str:
        """Of a scalar: its text."""
        return self.sign[3] or ""

    @property
    def depth(self) -> int:
        """By how much it goes deeper."""
        return _DEPTHS.get(self.kind, 0)


SCALAR: Final = "ScalarEvent"
ALIAS: Final = "AliasEvent"
LIST: Final = "SequenceStartEvent"
_DEPTHS: Final = {
    "SequenceStartEvent": 1,
    "MappingStartEvent": 1,
    "SequenceEndEvent": -1,
    "MappingEndEvent": -1,
}


@dataclass(frozen=True)
class Head:
    """A front matter as a reader of YAML finds it.

    Attributes:
        text: all of it.
        events: what the reader tells, of the mapping only.
        keys: where in ``events`` the value of each key stands; ``None`` for one that is there twice.
    """

    text: str
    events: tuple[Event, ...]
    keys: Mapping[str, tuple[int, int] | None]

    @property
    def indent(self) -> str:
        """What its keys stand behind."""
        return " " * self.events[1].column if len(self.events) > 2 else ""

    def signs(self) -> list[Sign]:
        """Return what the reader tells, to be compared."""
        return [event.sign for event in self.events]


def read(text: str) -> Head | None:
    """Return what a reader makes of a text; ``None`` where it is no block of keys and values."""
    try:
        raw = _parsed(text)
        events = [_event(one) for one in raw]
    except (yaml.YAMLError, ValueError):  # ValueError: what is no Unicode, or nested too deep
        return None
    if len(events) == 2:  # nothing, or comments only
        return Head(text, (), {})
    head = tuple(events[2:-2])
    documents = sum(event.kind == "DocumentStartEvent" for event in events)
    is_block = head[0].kind == "MappingStartEvent" and not head[0].flow
    if documents != 1 or not is_block or getattr(raw[-2], "explicit", True) or not _known(head):
        return None
    keys: dict[str, tuple[int, int] | None] = {}
    for key, value in _pairs(head):
        if key.kind == SCALAR:
            keys[key.value] = None if key.value in keys else value
    return Head(text, head, keys)


def _parsed(text: str) -> tuple[yaml.Event, ...]:
    """Return what a reader tells of a text.

    Raises:
        ValueError: it is nested as nothing that people write: a reader would take minutes for that.
    """
    found, depth = [], 0
    for one in yaml.parse(text, Loader=_LOADER):
        depth += _DEPTHS.get(type(one).__name__, 0)
        if depth > _DEEPEST:
            raise ValueError(f"expected at most {_DEEPEST} levels")
        found.append(one)
    return tuple(found)


def _event(raw: yaml.Event) -> Event:
    begin, end = raw.start_mark, raw.end_mark
    if begin is None or end is None:
        raise ValueError("a reader of YAML did not say where something stands")
    anchor, tag, value = (getattr(raw, name, None) for name in ("anchor", "tag", "value"))
    # Of what has no style, one reader says that it is empty, the other that it is none.
    sign = (type(raw).__name__, anchor, tag, value, getattr(raw, "style", None) or None)
    return Event(sign, bool(getattr(raw, "flow_style", False)), begin.index, begin.column, end.index)


def _known(events: Sequence[Event]) -> bool:
    """Tell whether every alias is of something that was named before, and nothing is named twice."""
    anchors: set[str] = set()
    for event in events:
        if event.anchor and (event.anchor in anchors) is not (event.kind == ALIAS):
            return False
        if event.anchor:
            anchors.add(event.anchor)
    return True


def _pairs(events: Sequence[Event]) -> Iterator[tuple[Event, tuple[int, int]]]:
    """Yield the keys of a mapping, with the first and last event of their values."""
    at = 1
    while at < len(events) - 1:
        key, at = events[at], _behind(events, at)
        behind = _behind(events, at)
        yield key, (at, behind - 1)
        at = behind


def _behind(events: Sequence[Event], at: int) -> int:
    """Return where what begins at an event is over."""
    depth = 0
    while True:
        depth += events[at].depth
        at += 1
        if not depth:
            return at
