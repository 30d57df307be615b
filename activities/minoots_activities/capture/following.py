"""Following folders: what happens in them is told at once, each folder by itself and never through a link.

Owns which folders are followed, and that there is no gap: a new one is followed before it is listed, which
whoever listens is told to do. It reads no file, and says nothing of what is in one.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncGenerator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from watchfiles import Change
from watchfiles._rust_notify import RustNotify

_LONGEST_BATCH: Final = 0.25
"""Seconds after which changes are told although more keep coming."""
_WAIT: Final = 1.0
"""Seconds that a thread waits at a time."""
_TRIES: Final = 5
"""To begin: a folder may go away at just that moment."""


@dataclass(frozen=True)
class Happened:
    """What is to be looked at."""

    folders: Collection[str]
    """Followed from now on: what is in them may have come before."""
    changes: Collection[tuple[Change, str]]


class Following:
    """The folders that are followed, and what happens in them."""

    def __init__(self, *, settle: float) -> None:
        self._settle = settle
        self._wanted: dict[str, int] = {}
        """Folders by their path, with the inode: one that was made anew is another."""
        self._followed: dict[str, int] = {}
        self._additions = 0
        self._other = asyncio.Event()
        self._stop = threading.Event()

    @property
    def additions(self) -> int:
        """How often folders were added: taken before a listing, and given with it."""
        return self._additions

    def knows(self, folder: str) -> bool:
        """Tell whether a folder is followed, or about to be."""
        return folder in self._wanted

    def only(self, folders: Mapping[str, int], additions: int) -> None:
        """Follow what a listing has found; what was added since it began stays."""
        wanted = dict(folders) if additions == self._additions else self._wanted | dict(folders)
        if wanted != self._wanted:
            for folder in self._wanted.keys() - wanted.keys():
                # If it comes back it is new, also with an inode that was used again.
                self._followed.pop(folder, None)
            self._wanted = wanted
            self._renew()

    def add(self, folders: Mapping[str, int]) -> None:
        """Follow these, too. One of them that is followed already was made anew."""
        self._additions += 1
        for folder in folders:
            self._followed.pop(folder, None)
        self._wanted |= folders
        self._renew()

    def gone(self, path: str, *, is_there: bool) -> None:
        """Follow a folder no more that has gone away; if it comes back, it is new.

        One that is there again by now may be followed already: a listing was faster than the news that the
        one before has gone. It stays, and is new, too.
        """
        if path not in self._wanted:
            return
        self._followed.pop(path, None)
        if is_there:
            self._renew()
        else:
            del self._wanted[path]

    async def events(self) -> AsyncGenerator[Happened]:
        """Yield what happens, for ever.

        Raises:
            OSError: folders cannot be followed: there are too many, say.
            Exception: what the library makes of a name that is no text. Begin again.
        """
        notify: RustNotify | None = None
        self._followed = {}
        # Of its own: it waits for most of its life, and the pool of the loop is small.
        with ThreadPoolExecutor(1, "following") as thread:
            try:
                while True:
                    self._other.clear()
                    self._stop.clear()
                    if not self._wanted:
                        await self._other.wait()
                        continue
                    wanted, before = dict(self._wanted), notify
                    notify = await self._begun(thread)
                    new = [path for path, inode in wanted.items() if self._followed.get(path) != inode]
                    self._followed = wanted
                    left = await self._left(thread, before)
                    yield Happened(new, left)
                    while not self._other.is_set():
                        yield Happened((), await self._changes(thread, notify, round(_WAIT * 1000)))
            finally:
                self._stop.set()
                if notify is not None:
                    # Behind what still waits in it.
                    thread.submit(notify.close)

    def _renew(self) -> None:
        self._other.set()
        self._stop.set()

    async def _begun(self, thread: ThreadPoolExecutor) -> RustNotify:
        loop = asyncio.get_running_loop()
        for last in (False,) * (_TRIES - 1) + (True,):
            folders = await loop.run_in_executor(thread, _present, list(self._wanted))
            try:
                return await loop.run_in_executor(
                    thread, partial(RustNotify, folders, False, False, 0, False, True)
                )
            except FileNotFoundError:
                if last:
                    raise
        raise AssertionError("it has begun, or failed")

    async def _left(
        self, thread: ThreadPoolExecutor, before: RustNotify | None
    ) -> Collection[tuple[Change, str]]:
        """Return what happened to the folders of before until now."""
        if before is None:
            return ()
        try:
            return await self._changes(thread, before, 1, batch=1)
        finally:
            before.close()

    async def _changes(
        self, thread: ThreadPoolExecutor, notify: RustNotify, wait: int, *, batch: int | None = None
    ) -> Collection[tuple[Change, str]]:
        """Return what has happened within some milliseconds, or until other folders are to be followed."""
        step = batch or max(1, round(self._settle * 1000))
        longest = batch or round(_LONGEST_BATCH * 1000)
        stop = None if batch else self._stop
        raw = await asyncio.get_running_loop().run_in_executor(
            thread, lambda: notify.watch(longest, step, wait, stop)
        )
        return [(Change(kind), path) for kind, path in raw] if isinstance(raw, set) else ()


def is_folder(path: str) -> bool:
    """Tell whether there is a folder, which a link to one is not."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _present(folders: Collection[str]) -> list[str]:
    return [folder for folder in folders if is_folder(folder)]
