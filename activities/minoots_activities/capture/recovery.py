"""Records out of a line, also where several processes or a power cut have damaged it. Pure.

A line may hold two records without a line end between them, a record that breaks off before the next one, or
a run of NUL bytes. What is whole is taken; what is not is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

_TRIES: Final = 2000
"""Places at which a record may begin that are tried in one damaged line."""

_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True)
class Recovered:
    """What a line held."""

    records: tuple[dict[str, Any], ...]
    damaged: bool = False
    """Something of it was lost."""


def records_of(line: bytes) -> Recovered:
    """Return the records of a line. Never raises."""
    line = line.strip(b" \t\r\x00")
    if not line:
        return Recovered(())
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _recover(line)
    return Recovered((found,)) if isinstance(found, dict) else Recovered((), damaged=True)


def _recover(line: bytes) -> Recovered:
    text = line.replace(b"\x00", b"").decode("utf-8", "replace")
    records: list[dict[str, Any]] = []
    damaged = b"\x00" in line
    position = 0
    for begin in _beginnings(text):
        if begin < position:
            continue
        try:
            found, end = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError):
            damaged = True
            continue
        rest = text[end:].lstrip()
        # A part of a record that breaks off may be whole in itself; a record is followed by another or by
        # nothing.
        if isinstance(found, dict) and (not rest or rest.startswith("{")):
            records.append(found)
            damaged = damaged or bool(text[position:begin].strip())
            position = end
    return Recovered(tuple(records), damaged or bool(text[position:].strip()))


def _beginnings(text: str) -> Iterator[int]:
    at = -1
    for _ in range(_TRIES):
        at = text.find('{"', at + 1)
        if at < 0:
            return
        yield at
