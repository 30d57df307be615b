"""Watching transcripts: whatever is new in a file is told to the workflow of its conversation.

By events of the file system, and by looking at every file now and then: some appends raise no event. What
could not be told is told at the next look. Whose a file is, and whom to tell, is `announcing`'s.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from watchfiles import Change

from minoots_platform.telemetry import get_logger

from .announcing import Announcer, Tell
from .answering import apart
from .following import Following
from .listing import Listing, is_text
from .roots import ReadDenied, ReadRoots
from .sources import About, Source, owner_of
from .unread import Again, Unread
from .watched import MOST_TROUBLES, Memory, Stats

# It tells of every change, and how many; what came of it is told by us.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

_EVENTS: Final = ""
"""Stands for the events of the file system where others are paths."""
_FEW: Final = 64
"""Folders that are looked into one by one; of more, everything is looked at."""
_LEFT_ALONE: Final = 30.0
"""Seconds after which it is tried again to follow folders, when that failed."""
_SHARE: Final = 50
"""A look at all files may take this part of a processor: the more there are, the rarer it is."""


class Watcher:
    """Looks after the transcripts of one host, for one tenant."""

    def __init__(
        self,
        sources: Iterable[Source],
        roots: ReadRoots,
        tell: Tell,
        *,
        tenant: str,
        host: str,
        settle: float,
        rescan: float,
        idle: float,
        unread: Unread | None = None,
    ) -> None:
        self._sources = list(sources)
        self._roots = roots
        self._rescan = rescan
        self._unread = unread or Unread()
        self._memory = Memory()
        self._listing = Listing(self._sources, self._memory.is_new)
        self._following = Following(settle=settle)
        self.listed = asyncio.Event()
        """Set when all files have been listed for the first time: what comes from then on is fresh."""
        self.stats = Stats()
        self._announcer = Announcer(
            tell,
            roots,
            self._listing,
            self._memory,
            self._unread,
            self.stats,
            tenant=tenant,
            host=host,
            idle=idle,
        )
        self._log = get_logger("minoots.capture")

    async def run(
        self, known: Mapping[str, tuple[int, int]], marks: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Watch until cancelled.

        ``known`` says how each file was when it was last read, ``marks`` how each session of a store.
        """
        self._memory.seen = dict(known)
        self._memory.marks = dict(marks)
        self._memory.old = {*known, *marks}
        await self.look()
        self._memory.began = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again())
            group.create_task(self._follow())

    async def look(self) -> None:
        """Look at every file once."""
        began = time.monotonic()
        # Of a copy: others find out more meanwhile.
        self.stats.problem = next(iter([*self._memory.troubled.values()]), None)
        await self._try_again()
        additions = self._following.additions
        found, folders = await apart(self._list_all)
        self._following.only(folders, additions)
        self._note_troubles()
        self.stats.waited = time.monotonic() - began
        self.listed.set()
        await self._announcer.announce(found)
        self.stats.looks += 1

    async def _try_again(self) -> None:
        """Have those told once more that could not be read, and can be opened by now."""
        for one in self._unread.due():
            if await apart(partial(self._can_be_opened, one)):
                self._unread.told(one.key)
                if one.fresh:
                    self._memory.old.discard(one.key)
                    self._memory.fresh.add(one.key)
                self._memory.marks.pop(one.key, None)
                self._memory.seen.pop(one.path, None)

    def _can_be_opened(self, one: Again) -> bool:
        source = owner_of(self._sources, one.path)
        if source is not None and not self._listing.answers(str(source.root)):
            return False
        try:
            self._listing.answering.ask(one.path, lambda: self._roots.open(Path(one.path)).close())
        except FileNotFoundError:
            self._unread.over(one.key)
            return False
        except (ReadDenied, OSError):
            return False
        return True

    def _note_troubles(self) -> None:
        """Tell what cannot be read, of files and of folders."""
        memory = self._memory
        told = [f"{path}: {reason}" for path, reason in memory.closed.items()]
        known = [*memory.troubled.values(), *told, *self._unread.reasons()]
        self.stats.troubles = tuple(dict.fromkeys(known))[:MOST_TROUBLES]
        self.stats.problem = self.stats.problem or next(iter(self.stats.troubles), None)

    async def changed(self, paths: Iterable[str]) -> None:
        """Look at files of which an event has told."""
        await self._announcer.announce(await apart(partial(self._new_of, list(paths))))

    def _new_of(self, paths: Iterable[str]) -> list[tuple[Source, str, About]]:
        """Return what is new in some files. A folder that does not answer is passed over."""
        found = {}
        answers: dict[str, bool] = {}
        for changed in paths:
            source = owner_of(self._sources, changed)
            if source is None or (path := source.meant(changed)) in found or not is_text(path):
                continue
            root = str(source.root)
            if root not in answers:
                answers[root] = self._listing.answers(root)
            if not answers[root]:
                continue
            try:
                now = self._listing.about(source, path)
            except OSError:
                continue  # gone: what was kept of it stays; one that does not answer is looked at again
            if self._memory.is_new(path, now):
                found[path] = (source, path, now)
        return list(found.values())

    async def again(self, paths: Iterable[str]) -> None:
        """Tell of files, or of single sessions of stores, once more, although nothing is new in them."""
        seen = self._memory.seen
        meant = dict.fromkeys(path if path in seen else self._without_mark(path) for path in paths)
        for path in meant:
            seen.pop(path, None)
        # Whose they are is found out anew: one may have been written over with another conversation.
        for path in meant:
            self._memory.whose.pop(path, None)
        for path in meant:
            await self.changed([path])

    def _without_mark(self, key: str) -> str:
        """Return the store of a session, which is new to it from now on."""
        self._memory.marks.pop(key, None)
        return key.rpartition("#")[0] or key

    async def _look_again(self) -> None:
        while True:
            # What a look costs is counted in time of a processor: one that only waited, on a busy machine or
            # for a slow disk, must not put off the next one for minutes.
            cost = _SHARE * self.stats.looked_in
            await asyncio.sleep(max(self._rescan, cost, self.stats.waited))
            await self.look()

    async def _follow(self) -> None:
        """Follow the events of folders; what is in those that are new to us is looked at."""
        while True:
            try:
                async with aclosing(self._following.events()) as events:
                    async for happened in events:
                        self._memory.troubled.pop(_EVENTS, None)
                        if happened.folders:
                            await self._enter(happened.folders)
                        await self._happened(happened.changes)
            except Exception as error:
                # Too many folders, or a name that is no text: looking at every file goes on.
                self.stats.problem = self._memory.troubled[_EVENTS] = f"no events of files: {error}"
                self._log.warning("capture.events_lost", reason=repr(error))
                await asyncio.sleep(self._rescan if isinstance(error, ValueError) else _LEFT_ALONE)

    async def _enter(self, folders: Collection[str]) -> None:
        """Tell of what has come into folders before they were followed."""
        additions = self._following.additions
        if len(folders) > _FEW:
            found, entered = await apart(self._list)
            self._following.only(entered, additions)
        else:
            found, entered = await apart(partial(self._list, folders))
            new = {path: inode for path, inode in entered.items() if not self._following.knows(path)}
            if new:
                self._following.add(new)
        await self._announcer.announce(found)

    async def _happened(self, changes: Collection[tuple[Change, str]]) -> None:
        for path in [path for change, path in changes if change is Change.deleted]:
            if self._following.knows(path):
                is_there = await apart(partial(self._listing.is_there, path))
                self._following.gone(path, is_there=is_there)
        added = [path for change, path in changes if change is Change.added]
        made = await apart(partial(self._listing.folders_in, added)) if added else []
        if made:
            found, entered = await apart(partial(self._list, made))
            # Also those that are followed: one of this name may have gone away.
            self._following.add(entered)
            await self._announcer.announce(found)
        await self.changed(path for change, path in changes if change is not Change.deleted)

    def _list(
        self, folders: Collection[str] | None = None
    ) -> tuple[list[tuple[Source, str, About]], dict[str, int]]:
        """Return what is new in all folders, or in some and below, and the folders that there are."""
        listed = self._listing.listed(folders)
        if folders is None:
            self.stats.files, self.stats.looked_in = listed.count, listed.busy
            self._note_closed(listed.closed)
        return listed.found, listed.entered

    def _note_closed(self, closed: dict[str, str]) -> None:
        for path in closed.keys() - self._memory.closed.keys():
            self._log.warning("transcripts.closed", path=path, reason=closed[path])
        self._memory.closed = closed

    def _list_all(self) -> tuple[list[tuple[Source, str, About]], dict[str, int]]:
        found = self._list()
        for path in list(self._memory.troubled):
            if path == _EVENTS:
                continue
            # Whether it is there is not asked of what does not answer.
            below = any(path.startswith(f"{folder}{os.sep}") for folder in self._memory.closed)
            if below or not self._listing.is_there(path):
                self._memory.troubled.pop(path, None)  # it is gone, or its folder is told of
        return found
