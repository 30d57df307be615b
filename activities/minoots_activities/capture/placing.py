"""Bytes into files: appended or put in place at one moment, relative to a folder that was entered safely."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from .gate import WriteDenied

# No link is followed, and a pipe is not waited for.
_SAFE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def about(folder: int, name: str) -> os.stat_result | None:
    """Return what is known of a file; ``None`` where there is none.

    Raises:
        WriteDenied: it is a link, a folder, or anything else that is no file.
    """
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise WriteDenied(f"{name} is no regular file")
    if found.st_nlink > 1:
        # It has another name, which may be anywhere.
        raise WriteDenied(f"{name} is a hard link")
    return found


def _own(handle: int, name: str) -> None:
    """Refuse what was put in the place of a file since it was looked at."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise WriteDenied(f"{name} is no regular file")  # a pipe would hand it to whoever reads there
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise WriteDenied(f"{name} is a hard link")


def content(folder: int, name: str, begin: int = 0, length: int | None = None) -> bytes:
    """Return bytes of a file."""
    handle = os.open(name, os.O_RDONLY | _SAFE, dir_fd=folder)
    try:
        _own(handle, name)
        file = os.fdopen(handle, "rb", closefd=False)
        file.seek(begin)
        return file.read() if length is None else file.read(length)
    finally:
        os.close(handle)


def append(folder: int, name: str, data: bytes) -> os.stat_result:
    """Append to a file that exists; return what is known of it then."""
    handle = os.open(name, os.O_WRONLY | os.O_APPEND | _SAFE, dir_fd=folder)
    try:
        _own(handle, name)
        _write(handle, data)
        os.fsync(handle)
        return os.fstat(handle)
    finally:
        os.close(handle)


def unchanged(folder: int, name: str, since: os.stat_result | None) -> None:
    """Require that a file is as it was when it was looked at.

    Raises:
        OSError: somebody has written into it, or put another in its place.
    """
    now = about(folder, name)
    if _mark(now) != _mark(since):
        raise OSError(errno.EAGAIN, "somebody is writing into it")


def _mark(found: os.stat_result | None) -> tuple[int, int, int] | None:
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


def put(
    folder: int, name: str, data: bytes, aside: str, check: Callable[[], None] = lambda: None
) -> os.stat_result:
    """Put a whole file in place, at one moment; ``aside`` is a name for it until then.

    It is as private as the one whose place it takes. ``check`` is asked right before that moment, and raises
    if it must not come.
    """
    forget(folder, aside)
    before = about(folder, name)
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o644, dir_fd=folder)
        try:
            if before is not None:
                os.fchmod(handle, stat.S_IMODE(before.st_mode))
                with suppress(PermissionError):
                    os.fchown(handle, before.st_uid, before.st_gid)
            _write(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        check()
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        forget(folder, aside)
        raise
    os.fsync(folder)
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def shorten(folder: int, name: str, size: int) -> os.stat_result:
    """Cut a file off; return what is known of it then."""
    handle = os.open(name, os.O_WRONLY | _SAFE, dir_fd=folder)
    try:
        _own(handle, name)
        os.ftruncate(handle, size)
        os.fsync(handle)
        return os.fstat(handle)
    finally:
        os.close(handle)


def forget(folder: int, name: str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _write(handle: int, data: bytes) -> None:
    # One call may write less than it was given.
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
