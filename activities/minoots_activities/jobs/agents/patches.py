"""What an agent has changed in its files, as a patch that ``git apply`` and ``patch -p1`` take.

Owns the form. To find the least difference of two texts can take for ever, so of texts that differ in
too many lines everything in between is replaced. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple

_MOST_LINES: Final = 1000
"""Lines of either text between the first and the last difference that are compared."""
_CONTEXT: Final = 3
_Code = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]


class Change(NamedTuple):
    """A file before and after; ``None`` where there was or is none."""

    path: str
    before: bytes | None
    after: bytes | None
    executable_before: bool = False
    executable_after: bool = False


def patch_of(changes: Iterable[Change]) -> bytes:
    """Return the patch of changes, in their order."""
    return b"".join(line for change in changes for line in _file(change))


def _file(change: Change) -> Iterator[bytes]:
    path = change.path.encode()
    old, new = change.before, change.after
    yield b"diff --git a/%b b/%b\n" % (path, path)
    if old is None:
        yield b"new file mode %b\n" % _mode(change.executable_after)
    elif new is None:
        yield b"deleted file mode %b\n" % _mode(change.executable_before)
    elif change.executable_before != change.executable_after:
        yield b"old mode %b\n" % _mode(change.executable_before)
        yield b"new mode %b\n" % _mode(change.executable_after)
    before, after = old or b"", new or b""
    if before == after:
        return
    if b"\x00" in before or b"\x00" in after:
        yield b"Binary files differ: %b\n" % path
        return
    yield b"--- %b\n" % (b"/dev/null" if old is None else b"a/" + path)
    yield b"+++ %b\n" % (b"/dev/null" if new is None else b"b/" + path)
    yield from _hunks(_lines(before), _lines(after))


def _hunks(before: list[bytes], after: list[bytes]) -> Iterator[bytes]:
    for group in _Given(_opcodes(before, after)).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        yield b"@@ -%b +%b @@\n" % (_range(first[1], last[2]), _range(first[3], last[4]))
        for tag, from_old, to_old, from_new, to_new in group:
            if tag == "equal":
                yield from (_line(b" ", line) for line in before[from_old:to_old])
                continue
            yield from (_line(b"-", line) for line in before[from_old:to_old])
            yield from (_line(b"+", line) for line in after[from_new:to_new])


class _Given(SequenceMatcher[bytes]):
    """Groups differences that were found elsewhere, in bounded steps."""

    def __init__(self, codes: list[_Code]) -> None:
        super().__init__(None, (), ())
        self._codes = codes

    def get_opcodes(self) -> list[_Code]:
        """Return what was found."""
        return list(self._codes)


def _opcodes(before: list[bytes], after: list[bytes]) -> list[_Code]:
    shortest = min(len(before), len(after))
    head = 0
    while head < shortest and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < shortest - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if max(len(old), len(new)) <= _MOST_LINES:
        found: list[_Code] = list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes())
    else:
        found = [("replace", 0, len(old), 0, len(new))]
    codes: list[_Code] = [("equal", 0, head, 0, head)] if head else []
    codes += [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in found]
    if tail:
        codes.append(("equal", len(before) - tail, len(before), len(after) - tail, len(after)))
    return codes


def _lines(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    kept = [line + b"\n" for line in lines[:-1]]
    return kept + lines[-1:] if lines[-1] else kept


def _line(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + b"\n\\ No newline at end of file\n"


def _range(start: int, stop: int) -> bytes:
    length = stop - start
    # As diff counts: from 1, and an empty range is named by the line before it.
    return b"%d,%d" % (start + 1 if length else start, length)


def _mode(executable: bool) -> bytes:
    return b"100755" if executable else b"100644"
