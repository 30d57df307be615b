"""Reading what was appended to a file: complete lines from a mark on, and whether the file is still the one.

Owns offsets and fingerprints. Holds one line at a time, however long the file is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

_CHUNK: Final = 1 << 20
LONGEST: Final = 64 << 20
"""Bytes of a line. The longest that was seen has 12 MB."""
TOO_LONG: Final = b"{"
"""Stands for a line that is longer: no record."""
FINGERPRINT_BYTES: Final = 256
"""Before a mark. A tail that was rewritten in place differs here, though the file may have grown."""


@dataclass(frozen=True)
class Mark:
    """How far a file was read: behind the last complete line."""

    offset: int = 0
    fingerprint: str = ""


@dataclass(frozen=True)
class Line:
    """One complete line, without its end."""

    data: bytes
    end: int
    """Offset behind it."""


def is_continued(file: BinaryIO, mark: Mark) -> bool:
    """Tell whether the file still begins with what was read up to ``mark``.

    A file that is shorter, or that has other bytes before the mark, was truncated or written anew.
    """
    if mark.offset == 0:
        return True
    return _fingerprint(file, mark.offset) == mark.fingerprint


def lines_from(
    file: BinaryIO, offset: int, is_whole: Callable[[bytes], bool] = lambda _: False
) -> Iterator[Line]:
    """Yield the complete lines from ``offset`` on; what is not ended yet is left for the next time.

    ``is_whole`` tells whether what stands behind the last end of a line is a line all the same: of a program
    that ends its lines only before the next one, the last words would stay unread for ever.
    """
    at = offset
    pending: list[bytes] = []
    held, skipping = 0, False
    while True:
        # Sought for every time: whoever takes the lines may read elsewhere in between.
        file.seek(at)
        chunk = file.read(_CHUNK)
        if not chunk:
            if pending and not skipping and is_whole(rest := b"".join(pending)):
                yield Line(rest, offset + len(rest))
            return
        at += len(chunk)
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            # Joined once a line, not once a chunk: a line of 12 MB would be copied twelve times.
            data = b"".join((*pending, chunk[start:end]))
            pending, held = [], 0
            offset += len(data) + 1
            start = end + 1
            yield Line(TOO_LONG if skipping else data, offset)
            skipping = False
        if start < len(chunk):
            pending.append(chunk[start:])
            held += len(chunk) - start
            if held > LONGEST:
                # Made to fill memory: it is passed over, up to its end, and told as damaged.
                offset += held
                pending, held, skipping = [], 0, True


def mark_at(file: BinaryIO, offset: int) -> Mark:
    """Return the mark for having read up to ``offset``."""
    return Mark(offset, _fingerprint(file, offset) or "")


def _fingerprint(file: BinaryIO, offset: int) -> str | None:
    begin = max(0, offset - FINGERPRINT_BYTES)
    file.seek(begin)
    found = file.read(offset - begin)
    if len(found) < offset - begin:
        return None
    return hashlib.blake2b(found, digest_size=16).hexdigest()
