"""Saying an answer piece by piece, on either wire, and failing as the script wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from .script import Fault, Turn, pieces

_FOREVER: Final = 3600.0


class Cut(Exception):
    """The connection ends in the middle of the answer."""


@dataclass
class Heard:
    """A request, and how far its answer came.

    Attributes:
        ended_at: when the answer ended, or whoever asked went away: seconds since 1970.
    """

    path: str
    body: object
    pieces: int = 0
    complete: bool = False
    ended_at: float | None = None


Line = str | bytes
Wire = Callable[[str, str], Line]
"""Makes what is sent of a piece of text and a piece of thinking."""


async def said(
    turn: Turn,
    heard: Heard,
    wire: Wire,
    error: Callable[[Fault], Line],
    most: int | None = None,
    garbage: Line = "data: {this is no JSON\n\n",
) -> AsyncIterator[Line]:
    """Yield the pieces of an answer: thinking first, then text, ``most`` of them.

    Raises:
        Cut: where the script cuts the connection.
    """
    try:
        async for line in _told(turn, heard, wire, error, most, garbage):
            yield line
    finally:
        # Also when whoever asked has gone: then this is cancelled.
        heard.ended_at = time.time()


async def _told(
    turn: Turn, heard: Heard, wire: Wire, error: Callable[[Fault], Line], most: int | None, garbage: Line
) -> AsyncIterator[Line]:
    told = [("", piece) for piece in pieces(turn.thinking)] + [(piece, "") for piece in pieces(turn.text)]
    fault = turn.fault
    for number, (text, thinking) in enumerate(told[:most]):
        if fault is not None and number == fault.after:
            async for line in _failing(fault, error, garbage):
                yield line
            return
        if turn.pace:
            await asyncio.sleep(turn.pace)
        heard.pieces += 1
        yield wire(text, thinking)
    if fault is not None and fault.kind != "status":
        async for line in _failing(fault, error, garbage):
            yield line
        return
    heard.complete = True


async def _failing(fault: Fault, error: Callable[[Fault], Line], garbage: Line) -> AsyncIterator[Line]:
    match fault.kind:
        case "cut":
            raise Cut
        case "hang":
            await asyncio.sleep(_FOREVER)
        case "garbage":
            yield garbage
        case _:
            yield error(fault)
