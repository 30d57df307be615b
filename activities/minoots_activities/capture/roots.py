"""Which files may be read: those below the folders that the settings name, and no others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


class ReadDenied(Exception):
    """A file that is not below a root, or is none."""


class ReadRoots:
    """Folders below which files may be read."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(dict.fromkeys(Path(os.path.realpath(root)) for root in roots))

    def open(self, path: Path) -> BinaryIO:
        """Open a file for reading.

        Links are followed first and judged by where they lead; then every part of the way is opened without
        following any, so that a link that is put there meanwhile leads nowhere.

        Raises:
            ReadDenied: it is not below a root, or no regular file.
            OSError: it is gone, or may not be read.
        """
        real = Path(os.path.realpath(path))
        root = next((root for root in self._roots if real.is_relative_to(root) and real != root), None)
        if root is None:
            raise ReadDenied(f"{path} is not below a folder that may be read")
        # From the top: a folder above may have become a link since.
        folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            *way, name = real.relative_to(root).parts
            for part in (*root.parts[1:], *way):
                inner = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
                )
                os.close(folder)
                folder = inner
            # Non-blocking: a pipe would be waited for until somebody writes.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            handle = os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise ReadDenied(f"{path} is no regular file")
        return os.fdopen(handle, "rb")
