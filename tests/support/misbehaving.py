"""Disks that misbehave, for real: a mount that does not answer, and one with little space.

Both need the right to mount, which root has in most places; without it, tests that want one are skipped.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LAZILY = 2
_FILL = 64 * 1024


def _mount(source: str, folder: Path, kind: str, options: str) -> None:
    """Mount something, or skip the test."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.mount(source.encode(), os.fsencode(folder), kind.encode(), 0, options.encode())
    except (OSError, AttributeError) as error:
        pytest.skip(f"this system has no mount of Linux: {error}")
    if failed:
        pytest.skip(f"{kind} may not be mounted here: {os.strerror(ctypes.get_errno())}")


def _unmount(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(os.fsencode(folder), _LAZILY)


class Mount:
    """A mounted folder whose server is away, until it is let go of."""

    def __init__(self, folder: Path, server: int) -> None:
        self.folder = folder
        self._server = server

    def let_go(self) -> None:
        """Answer everybody who waits with an error, and show the folder that was there before."""
        if self._server >= 0:
            os.close(self._server)
            self._server = -1
            _unmount(self.folder)


@contextmanager
def that_hangs(folder: Path) -> Iterator[Mount]:
    """Mount something over a folder that never answers: a file system in user space that nobody serves."""
    try:
        server = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"there is no FUSE here: {error}")
    try:
        _mount("hangs", folder, "fuse", f"fd={server},rootmode=40000,user_id=0,group_id=0")
    except BaseException:
        os.close(server)
        raise
    mount = Mount(folder, server)
    try:
        yield mount
    finally:
        mount.let_go()


class SmallDisk:
    """A folder on a disk of its own that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / ".filler"

    def fill(self, leave: int = 0) -> None:
        """Take all space but so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            size = _FILL
            while size:
                try:
                    if file.write(b"\0" * size) < size:
                        size //= 2
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        if leave:
            os.truncate(self._filler, max(0, self._filler.stat().st_size - leave))

    def empty(self) -> None:
        """Let there be space again."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def that_is_small(folder: Path, size: str = "2m") -> Iterator[SmallDisk]:
    """Mount a disk of few megabytes over a folder."""
    folder.mkdir(exist_ok=True)
    _mount("small", folder, "tmpfs", f"size={size},mode=700")
    try:
        yield SmallDisk(folder)
    finally:
        _unmount(folder)
