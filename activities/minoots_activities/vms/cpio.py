"""The archive of files that a kernel unpacks when it starts: the same bytes for the same files."""

from __future__ import annotations

import stat
from typing import Final

_MAGIC: Final = b"070701"


class Archive:
    """An initial file system in the making (cpio, "newc")."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._entries = 0

    def folder(self, name: str) -> None:
        """Add an empty folder."""
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Add a file."""
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def close(self) -> bytes:
        """Return the whole."""
        self._add("TRAILER!!!", 0, b"")
        return bytes(self._data)

    def _add(self, name: str, mode: int, data: bytes) -> None:
        self._entries += 1
        encoded = name.encode() + b"\x00"
        # Number, mode, owner, group, links, time, size, four devices, length of the name, no sum.
        values = (self._entries, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        self._data += _MAGIC + b"".join(b"%08x" % value for value in values) + encoded
        self._pad()
        self._data += data
        self._pad()

    def _pad(self) -> None:
        self._data += b"\x00" * (-len(self._data) % 4)
