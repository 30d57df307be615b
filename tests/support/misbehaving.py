"""Disks that misbehave, for real: a mount that does not answer, one with little space, and closed doors.

The first two need the right to mount, which root has in most places; without it, tests that want one are
skipped.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from minoots_activities.capture.answering import Answering

_LAZILY = 2
_FILL = 64 * 1024
_LONG = 60.0
_SHORT = 0.2

T = TypeVar("T")


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Capabilities(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Let permissions bind this thread and those that it begins, also where the tests are run by root.

    The running loop gets threads of its own for as long: those that it has were begun before. Connect to
    Postgres before: its socket is in a folder of its own user.
    """
    if os.geteuid():
        yield  # they do anyway
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(0x20080522, 0)  # the third version of them, and the thread that asks
    before, bound = (_Capabilities * 2)(), (_Capabilities * 2)()
    for held in (before, bound):
        assert libc.capget(ctypes.byref(header), held) == 0
    bound[0].effective &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(ctypes.byref(header), bound) == 0, os.strerror(ctypes.get_errno())
    loop = asyncio.get_running_loop()
    try:
        with ThreadPoolExecutor() as bound_ones:
            loop.set_default_executor(bound_ones)
            yield
    finally:
        assert libc.capset(ctypes.byref(header), before) == 0
        loop.set_default_executor(ThreadPoolExecutor())


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


class Patient(Answering):
    """Waits long for what answers, however busy this machine is, and only a moment for what is silent."""

    def __init__(self) -> None:
        super().__init__(_LONG)
        self._hasty = Answering(_SHORT)
        self.silent: Path | None = None
        """The folder that does not answer, with all that is in it."""

    def ask(self, place: str, look: Callable[[], T], steps: Callable[[], int] = lambda: 0) -> T:
        """Ask, with little patience where there will be no answer."""
        if self.silent is not None and Path(place).is_relative_to(self.silent):
            return self._hasty.ask(place, look, steps)
        return super().ask(place, look, steps)


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
