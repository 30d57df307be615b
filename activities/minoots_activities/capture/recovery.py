"""Records out of a line, also where several processes or a power cut have damaged it. Pure.

A line may hold two records without a line end between them, a record that breaks off before the next one, or
a run of NUL bytes. What is whole is taken; what is not is counted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

_TRIES: Final = 2000
"""Places at which a record may begin that are tried in one damaged line."""
_WORK: Final = 8
"""Times that its length is looked through, at most: it may be made to break off at its end, from anywhere."""

_DEEPEST: Final = 64
"""Levels of a value that are kept as they are; what is deeper is kept as its text."""

_LARGE: Final = 1 << 20
"""Bytes of a line in which more than so many values could stand."""

MOST_VALUES: Final = 1_000_000
"""Of one record: in memory, each takes many times the space that it has in a file."""

_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""Also one that breaks off, so that nothing is looked through twice."""

_SUSPICIOUS: Final = (b"\\u0000", b"\\ud", b"\\uD")
_BLANK: Final = re.compile(r"\s*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def _number(text: str) -> float | None:
    found = float(text)
    return found if math.isfinite(found) else None


_DECODER: Final = json.JSONDecoder(
    parse_int=lambda text: int(text) if len(text) < 19 else _number(text),
    parse_float=_number,
    parse_constant=lambda _: None,
)


@dataclass(frozen=True)
class Recovered:
    """What a line held."""

    records: tuple[dict[str, Any], ...]
    damaged: bool = False
    """Something of it was lost."""


def decoded(text: str) -> Any:
    """Return the JSON in a text; numbers that nothing holds are ``None``.

    Raises:
        ValueError: there is none.
        RecursionError: it is too deep.
    """
    return _DECODER.decode(text)


def records_of(line: bytes) -> Recovered:
    """Return the records of a line. Never raises."""
    line = line.strip(b" \t\r\x00")
    if not line:
        return Recovered(())
    if is_swollen(line):
        return Recovered((), damaged=True)
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _recover(line)
    if not isinstance(found, dict):
        return Recovered((), damaged=True)
    if line.count(b"{") + line.count(b"[") > _DEEPEST or (
        b"\\u" in line and any(part in line for part in _SUSPICIOUS)
    ):
        found = holdable(found)
    return Recovered((found,))


def is_swollen(data: bytes) -> bool:
    """Tell whether JSON has so many values that they fill memory: a tool may give back anything."""
    if len(data) < _LARGE or _values_in(data) <= MOST_VALUES:
        return False
    # What stands in texts counts for nothing: long ones are full of commas.
    return _values_in(_STRINGS.sub(b"", data)) > MOST_VALUES


def _values_in(data: bytes) -> int:
    return sum(data.count(mark) for mark in (b",", b"{", b"["))


def is_whole(line: bytes) -> bool:
    """Tell whether a line without its end holds whole records, so that nothing of them can be missing."""
    if not line.rstrip(b" \t\r").endswith(b"}"):
        return False
    found = records_of(line)
    return bool(found.records) and not found.damaged


def _recover(line: bytes) -> Recovered:
    if len(line) >= _LARGE and _values_in(line) > MOST_VALUES:
        # What is a text and what is not cannot be told for certain any more.
        return Recovered((), damaged=True)
    text = line.replace(b"\x00", b"").decode("utf-8", "replace")
    records: list[dict[str, Any]] = []
    damaged = b"\x00" in line
    position = 0
    first = len(text) - len(text.lstrip())
    work = _WORK * len(text)
    for begin in _beginnings(text):
        if begin < position:
            continue
        if work <= 0:
            damaged = True
            break
        try:
            found, end = _DECODER.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            work -= error.pos - begin
            damaged = True
            continue
        except (ValueError, RecursionError):
            work -= len(text) - begin
            damaged = True
            continue
        work -= end - begin
        behind = _BLANK.match(text, end)
        at = behind.end() if behind else end
        rest = text[at : at + 1]
        # A part of a record that breaks off may be whole in itself; a record is followed by another or by
        # nothing. What a line begins with is no part of another, and may have been read before it grew.
        if isinstance(found, dict) and (begin == first or not rest or rest.startswith("{")):
            records.append(holdable(found))
            damaged = damaged or bool(text[position:begin].strip())
            position = end
    return Recovered(tuple(records), damaged or bool(text[position:].strip()))


def holdable(value: Any, level: int = 0) -> Any:
    """Return a value that every database and every encoding can hold."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value.replace("\x00", "\ufffd"))
    if not isinstance(value, dict | list):
        return value
    if level == _DEEPEST:
        return holdable(_written(value))
    if isinstance(value, list):
        return [holdable(one, level + 1) for one in value]
    return {holdable(name): holdable(one, level + 1) for name, one in value.items()}


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"


def _beginnings(text: str) -> Iterator[int]:
    at = -1
    for _ in range(_TRIES):
        at = text.find('{"', at + 1)
        if at < 0:
            return
        yield at
