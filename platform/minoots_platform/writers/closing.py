"""What is open at a line of a Markdown text, and what has to be appended so that it ends. Pure.

A fence or a comment that a message leaves open would swallow every message after it. Follows the blocks of
CommonMark 0.31 as far as they decide what is open: quotes, list items, fences, indented code and HTML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"(?P<marker>`{3,}(?=[^`]*$)|~{3,})")
_QUOTE: Final = re.compile(r" {0,3}>")
_ITEM: Final = re.compile(r"(?P<marker>[-+*]|(?P<number>[0-9]{1,9})[.)])(?P<space> +|$)")
_BREAK: Final = re.compile(r"(?:(?:\* *){3,}|(?:- *){3,}|(?:_ *){3,})")
_UNDERLINE: Final = re.compile(r" {0,3}(?:=+|-+) *")
_HEADING: Final = re.compile(r"#{1,6}(?: |$)")
_RAW: Final = re.compile(r"(?i)<(?P<tag>script|pre|style|textarea)(?=[\s>]|$)")
_RAW_END: Final = re.compile(r"(?i)</(?:script|pre|style|textarea)>")
_BLOCKS: Final = re.compile(
    r"(?i)</?(?:address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|"
    r"dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|"
    r"iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|"
    r"table|tbody|td|tfoot|th|thead|title|tr|track|ul)(?=[\s>]|/>|$)"
)
_ATTRIBUTE: Final = r"""\s+[A-Za-z_:][\w.:-]*(?:\s*=\s*(?:[^\s"'=<>`]+|'[^']*'|"[^"]*"))?"""
_TAG: Final = re.compile(rf"(?:<[A-Za-z][\w-]*(?:{_ATTRIBUTE})*\s*/?>|</[A-Za-z][\w-]*\s*>)\s*$", re.ASCII)
_LONGEST_TAG: Final = 10_000
_DEEPEST: Final = 64
"""Lists and quotes in one another. What is open in so many ends with them, whatever it is."""


class _Anchored:
    """A pattern that has to match from the beginning of a line."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def search(self, text: str) -> re.Match[str] | None:
        return self._pattern.match(text)


@dataclass(eq=False)
class _Item:
    """One that is compared by what it is: there may be many, and for each line they are looked through."""

    indent: int
    empty: bool
    """Its first line has nothing behind the marker: a blank line after it ends the item."""


@dataclass
class _Open:
    """A block whose end has to be found.

    Attributes:
        closer: what is to be appended to end it.
        end: where it ends, if not at a blank line or at the end of what it stands in.
    """

    closer: str
    end: re.Pattern[str] | _Anchored | None


class Blocks:
    """What is open in a text, line by line."""

    def __init__(self) -> None:
        self.inside: list[_Item | None] = []
        """List items, and ``None`` for quotes, from the outside in."""
        self.open: _Open | None = None
        self.paragraph = False
        self._blank = False
        """Whether the line before was blank, and ended nothing that it stood in."""

    def feed(self, line: str) -> bool:
        """Take in a line without tabs; return whether it is speech: no code, no markup, and in no quote."""
        blank = not line.strip(" ")
        if blank and self._blank:
            # A text may have hundreds of thousands of them within lists as deep as can be.
            if self.open is None:
                return True
            self._go_on("")
            return False
        rest, matched = self._matched(line)
        whole = matched == len(self.inside)
        self._blank = blank and whole
        if whole and self.open is not None:
            self._go_on(rest)
            return False
        if not whole:
            if self.paragraph and not self._begins(rest, lazy=True):
                return _indent(rest) <= 3  # a lazy line of the paragraph
            del self.inside[matched:]
            self.open, self.paragraph = None, False
        return self._blocks(rest) and None not in self.inside

    def _matched(self, line: str) -> tuple[str, int]:
        """Return what is left of a line behind the markers of what it stands in, and how many those are."""
        rest = line
        for count, item in enumerate(self.inside):
            if item is None:
                quote = _QUOTE.match(rest)
                if quote is None:
                    return rest, count
                rest = rest[quote.end() :].removeprefix(" ")
            elif not rest.strip(" "):
                if item.empty:
                    return rest, count
                continue
            elif _indent(rest) >= item.indent:
                item.empty = False
                rest = rest[item.indent :]
            else:
                return rest, count
        return rest, len(self.inside)

    def _go_on(self, rest: str) -> None:
        block = self.open
        if block is not None and (block.end.search(rest) if block.end else not rest.strip(" ")):
            self.open = None

    def _begins(self, rest: str, *, lazy: bool = False) -> bool:
        """Tell whether a line interrupts a paragraph."""
        text = rest.lstrip(" ")
        if not text:
            return True
        if _indent(rest) > 3:
            return False
        item = _ITEM.match(text)
        lists = item is not None and (
            lazy or (bool(text[item.end() :].strip(" ")) and int(item["number"] or 1) == 1)
        )
        return bool(
            text[0] == ">"
            or _FENCE.match(text)
            or _HEADING.match(text)
            or _BREAK.fullmatch(text.rstrip(" "))
            or lists
            or _html(text, interrupting=True)
        )

    def _blocks(self, rest: str) -> bool:
        """Read what a line begins; return whether it is speech."""
        while True:
            text = rest.lstrip(" ")
            indent = _indent(rest)
            if not text:
                self.paragraph = False
                return True
            if self.paragraph and _UNDERLINE.fullmatch(rest):
                self.paragraph = False
                return True
            if indent > 3:
                # Code, of one line each; behind a paragraph it is none, but nobody speaks like that.
                return False
            if self.paragraph and not self._begins(rest):
                return True
            self.paragraph = False
            if text[0] == ">" and len(self.inside) < _DEEPEST:
                self.inside.append(None)
                rest = text[1:].removeprefix(" ")
                continue
            item = _ITEM.match(text)
            if item is None or _BREAK.fullmatch(text.rstrip(" ")) or len(self.inside) >= _DEEPEST:
                break
            space = item["space"]
            behind = text[item.end() :]
            wide = len(space) if behind and len(space) <= 4 else 1
            self.inside.append(_Item(indent + len(item["marker"]) + wide, not behind.strip(" ")))
            rest = " " * (len(space) - wide) + behind if behind else ""
        return self._leaf(text)

    def _leaf(self, text: str) -> bool:
        fence = _FENCE.match(text)
        if fence is not None:
            marker = fence["marker"]
            end = re.compile(rf" {{0,3}}{re.escape(marker[0])}{{{len(marker)},}} *$")
            self.open = _Open(marker, _Anchored(end))
            return False
        html = _html(text, interrupting=False)
        if html is not None:
            self.open = html
            if html.end is not None and html.end.search(text):
                self.open = None
            return False
        self.paragraph = not (_HEADING.match(text) or _BREAK.fullmatch(text.rstrip(" ")))
        return True


def closer_of(text: str) -> str:
    """Return the line that ends what ``text`` leaves open; empty where it leaves nothing open."""
    blocks = Blocks()
    for line in text.split("\n"):
        blocks.feed(line.expandtabs(4))
    # What is open in a quote or list ends with it.
    return blocks.open.closer if blocks.open is not None and not blocks.inside else ""


def fence_for(text: str) -> str:
    """Return a fence that no line of ``text`` ends."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    return "`" * (longest + 1)


def _html(text: str, *, interrupting: bool) -> _Open | None:
    """Return the block of HTML that a line begins."""
    if not text.startswith("<"):
        return None
    raw = _RAW.match(text)
    if raw:
        return _Open(f"</{raw['tag']}>", _RAW_END)
    for begin, end in (("<!--", "-->"), ("<?", "?>"), ("<![CDATA[", "]]>")):
        if text.startswith(begin):
            return _Open(end, re.compile(re.escape(end)))
    if re.match(r"<![A-Za-z]", text):
        return _Open(">", re.compile(">"))
    tag = not interrupting and len(text) <= _LONGEST_TAG and _TAG.match(text)
    if _BLOCKS.match(text) or tag:
        return _Open("", None)
    return None


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
