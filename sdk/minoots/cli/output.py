"""What the commands print: tables and plain text for people, one JSON object a line for programs.

Owns standard output. What came from elsewhere is cleaned of control characters first: a timer's name must not
drive the terminal of whoever lists it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_UNBOUNDED: Final = 100_000
"""Columns when nobody looks: a pipe must get whole lines, not lines cut to some terminal's width."""


def plain(text: object) -> str:
    """Return ``text`` on one line, with control characters shown instead of sent."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], str(text)).replace("\n", "⏎").replace("\t", " ")


def json_line(model: BaseModel) -> None:
    """Print one object as JSON, at once: a reader of a stream waits for it."""
    # Escaped, for some readers end lines at U+2028, and terminals obey C1 controls.
    text = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", model.model_dump_json())
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def line(text: str) -> None:
    """Print one line of text, at once."""
    sys.stdout.write(plain(text) + "\n")
    sys.stdout.flush()


def text(text: str) -> None:
    """Print text of several lines as it is, but for control characters."""
    sys.stdout.write(_CONTROL.sub(lambda found: repr(found[0])[1:-1], text))
    sys.stdout.flush()


def content(data: bytes) -> None:
    """Print a content: as it is into files and pipes; as `text` on a terminal, which it must not drive."""
    if sys.stdout.isatty():
        text(data.decode(errors="replace"))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class Flow:
    """Text that comes in pieces, with lines between them that begin at the margin."""

    def __init__(self) -> None:
        self._open = False

    def text(self, piece: str) -> None:
        """Print a piece of the text, at once."""
        if piece:
            text(piece)
            self._open = not piece.endswith("\n")

    def end(self) -> None:
        """End the line of the last piece, where its writer has not."""
        if self._open:
            self.text("\n")

    def line(self, told: str) -> None:
        """Print a line of its own, at once."""
        self.end()
        line(told)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings, in colour on a terminal."""
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in shown.columns:
        column.overflow = "fold"
        column.no_wrap = column.header in _TIMES
    for row in rows:
        shown.add_row(*(Text(plain(cell), style=_STYLES.get(str(cell), "")) for cell in row))
    console().print(shown)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; pairs without a value are left out."""
    shown = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value is not None and value != "":
            shown.add_row(Text(name, style="bold"), Text(plain(value), style=_STYLES.get(str(value), "")))
    console().print(shown)


def console() -> Console:
    """Return a console for standard output as it is now."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout, width=None if terminal else _UNBOUNDED, soft_wrap=not terminal, highlight=False
    )


_TIMES: Final = frozenset({"CREATED", "DIED", "DUE", "NEXT", "SIGNS UNTIL", "STARTED", "WHEN"})
"""Columns that stay on one line on a narrow terminal."""

_STYLES: Final = {
    "armed": "cyan",
    "scheduled": "cyan",
    "paused": "yellow",
    "active": "cyan",
    "fired": "yellow",
    "settled": "green",
    "failed": "bold red",
    "cancelled": "dim",
}
