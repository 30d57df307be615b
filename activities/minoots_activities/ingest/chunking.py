"""Dividing a text: into blocks that belong together, and those into chunks of a bounded size. Pure.

The chunks, one after the other, are the whole text. None goes beyond a section or a page, so that a change in
one section leaves the chunks of the others as they were.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt

from minoots.contracts import Chunk

from .extractors.extractor import Form

REVISION: Final = 1
"""Rises whenever the same text is divided in another way."""

_HEADING: Final = 200
"""Characters of a heading that are kept with a chunk."""
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n\s*")
_ENDS: Final = (
    _PARAGRAPH,
    re.compile(r"\n"),
    re.compile(r"[.!?…。][\"')\]]?\s+"),
    re.compile(r"\s+"),
)
"""Where a block that is too long is divided, the best places first."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a text that belongs together: a paragraph, a list, a piece of code, a record.

    Attributes:
        text: with the empty lines behind it.
        headings: those below which it stands.
        page: on which it stands.
        opens: whether it is a heading itself, which nothing may be divided from.
    """

    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None
    opens: bool = False


def chunks(text: str, form: Form, size: int) -> Iterator[Chunk]:
    """Yield the chunks of a text, none longer than ``size`` characters."""
    begin = 0
    for number, (content, headings, page) in enumerate(_packed(blocks(text, form), size), start=1):
        end = begin + len(content)
        told = "\x1f".join((*headings, content))
        yield Chunk(
            number=number,
            begin=begin,
            end=end,
            headings=headings,
            page=page,
            sha256=hashlib.sha256(told.encode()).hexdigest(),
            text=content,
        )
        begin = end


def blocks(text: str, form: Form) -> Iterator[Block]:
    """Yield the blocks of a text."""
    if form is Form.MARKDOWN:
        yield from _markdown(text)
    elif form is Form.LINES:
        yield from (Block(line) for line in _lines(text))
    elif form is Form.PAGES:
        for number, page in enumerate(text.split("\f"), start=1):
            ended = page if page.endswith("\n") or not page else page + "\n"
            yield from (Block(part, page=number) for part in _paragraphs(ended))
    else:
        yield from (Block(part) for part in _paragraphs(text))


def _packed(parts: Iterable[Block], size: int) -> Iterator[tuple[str, tuple[str, ...], int | None]]:
    """Yield as much as fits, of what stands in one section on one page."""
    held: list[Block] = []
    length = 0
    for block in parts:
        if held and _parted(held, block, length, size):
            yield _joined(held)
            held, length = [], 0
        *full, rest = _divided(block, size)
        for part in full:
            yield part, block.headings, block.page
        held.append(Block(rest, block.headings, block.page, block.opens))
        length += len(rest)
    if held:
        yield _joined(held)


def _parted(held: list[Block], block: Block, length: int, size: int) -> bool:
    if length + len(block.text) > size:
        return True
    last = held[-1]
    if last.page != block.page:
        return True
    # A heading with nothing below it goes with the one that comes next.
    return last.headings != block.headings and not all(one.opens for one in held)


def _joined(held: list[Block]) -> tuple[str, tuple[str, ...], int | None]:
    return "".join(block.text for block in held), held[-1].headings, held[-1].page


def _divided(block: Block, size: int) -> Iterator[str]:
    """Yield parts of a block, each at most ``size`` long, divided at the best places."""
    text, begin = block.text, 0
    while len(text) - begin > size:
        end = _place(text, begin, begin + size)
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _place(text: str, begin: int, most: int) -> int:
    """Return where to divide, in the second half of what fits."""
    least = begin + (most - begin) // 2
    for end in _ENDS:
        found = 0
        for match in end.finditer(text, least, most):
            found = match.end()
        if found:
            return found
    return most


def _paragraphs(text: str) -> Iterator[str]:
    begin = 0
    for match in _PARAGRAPH.finditer(text):
        yield text[begin : match.end()]
        begin = match.end()
    if begin < len(text):
        yield text[begin:]


def _markdown(text: str) -> Iterator[Block]:
    # Blocks only: what stands within a line is of no interest here, and takes most of the time.
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    lines = _lines(text)
    headings: list[tuple[int, str]] = []
    tokens = [token for token in parser.parse(text) if token.map is not None]
    tops = [(number, token) for number, token in enumerate(tokens) if token.level == 0]
    begin = 0
    for place, (number, token) in enumerate(tops):
        following = tops[place + 1][1].map if place + 1 < len(tops) else None
        end = following[0] if following is not None else len(lines)
        opens = token.type == "heading_open"
        if opens:
            depth = int(token.tag[1:])
            while headings and headings[-1][0] >= depth:
                headings.pop()
            headings.append((depth, " ".join(tokens[number + 1].content.split())[:_HEADING]))
        if end > begin:
            yield Block("".join(lines[begin:end]), tuple(told for _, told in headings), None, opens)
        begin = max(begin, end)
    if begin < len(lines):
        yield Block("".join(lines[begin:]), tuple(told for _, told in headings))


def _lines(text: str) -> list[str]:
    """Return the lines of a text, divided at line feeds and nowhere else, as the parser counts them."""
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
