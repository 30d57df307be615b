"""Transcripts that their program has compressed: expanded into a file without a name, then read like any."""

from __future__ import annotations

import tempfile
from pathlib import PurePath
from typing import BinaryIO, Final, cast

import zstandard

LARGEST: Final = 1 << 30
"""Bytes of an expanded transcript. What is larger was made to fill a disk."""

_CHUNK: Final = 4096
"""Bytes that are expanded at a time: few, as each may become 32 thousand."""

_WINDOW: Final = 128 << 20
"""Bytes that expanding may hold in memory at once."""


class Damaged(Exception):
    """A compressed file that breaks off, is none, or is too large."""


def expanded(file: BinaryIO, path: PurePath, largest: int = LARGEST) -> BinaryIO:
    """Return a file as it was before it was compressed: itself, unless its name ends with ``.zst``.

    Raises:
        Damaged: it cannot be expanded. The given file is closed then, as it is when it was.
    """
    if path.suffix != ".zst":
        return file
    with file:
        whole = cast("BinaryIO", tempfile.TemporaryFile())
        try:
            _expand(file, whole, path, largest)
        except BaseException:
            whole.close()
            raise
    whole.seek(0)
    return whole


def _expand(file: BinaryIO, into: BinaryIO, path: PurePath, largest: int) -> None:
    # By frames, and asking each whether it ended: a reader of streams takes one that breaks off for its end.
    left = largest
    rest = file.read(_CHUNK)
    while rest:
        frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        while not frame.eof:
            if not rest:
                raise Damaged(f"{path.name} breaks off before its end")
            try:
                data = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise Damaged(f"{path.name} is damaged: {error}") from error
            left -= len(data)
            if left < 0:
                raise Damaged(f"{path.name} holds more than {largest} bytes")
            into.write(data)
            rest = b"" if frame.eof else file.read(_CHUNK)
        rest = frame.unused_data or file.read(_CHUNK)
