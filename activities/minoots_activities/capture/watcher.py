"""Watching transcripts: whatever is new in a file is told to the workflow of its conversation.

By events of the file system, and by looking at every file now and then: some appends raise no event. What
could not be told is told at the next look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from watchfiles import Change, awatch

from minoots.errors import Failure
from minoots_platform.records.conversations import Whose
from minoots_platform.telemetry import audit, get_logger
from minoots_workflows.capture.contracts import CaptureStart, FileChanged

from .compressed import Damaged, expanded
from .ingest import head_of, session_key
from .readers.store import Store, known
from .roots import ReadDenied, ReadRoots
from .sources import About, Source, owner_of

# It tells of every change, and how many; what came of it is told by us.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

Tell = Callable[[CaptureStart, FileChanged], Awaitable[None]]

_AT_ONCE: Final = 20
_EVENTS: Final = ""
"""Stands for the events of the file system where others are paths."""
_LONGEST_BATCH: Final = 0.25
"""Seconds after which changes are told although more keep coming."""
_SHARE: Final = 50
"""A look at all files may take this part of a processor: the more there are, the rarer it is."""


@dataclass
class Stats:
    """How the watching stands."""

    files: int = 0
    told: int = 0
    failures: int = 0
    denied: int = 0
    problem: str | None = None
    looks: int = 0
    """How often all files were looked at."""
    looked_in: float = 0.0
    """Seconds that the last look at all files kept a processor busy."""
    waited: float = 0.0
    """Seconds that the last look at all files took, also those in which it waited for disk or processor."""


@dataclass
class _Memory:
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size and time of each file when it was last told, or found to be none of ours."""
    marks: dict[str, str] = field(default_factory=dict)
    """The mark of each session of a store when it was last told."""
    old: set[str] = field(default_factory=set)
    """Files that were there before watching began, or of which somebody has been told since."""
    whose: dict[tuple[str, int], Whose] = field(default_factory=dict)
    """Whose conversation a file tells of, by its path and inode."""
    troubled: dict[str, str] = field(default_factory=dict)
    """Why a file cannot be read."""


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
    ) -> None:
        self._sources = list(sources)
        self._roots = roots
        self._tell = tell
        self._tenant = tenant
        self._host = host
        self._settle = settle
        self._rescan = rescan
        self._idle = idle
        self._memory = _Memory()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._began = False
        self.listed = asyncio.Event()
        """Set when all files have been listed for the first time: what comes from then on is fresh."""
        self.stats = Stats()
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
        self._began = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again())
            group.create_task(self._follow())

    async def look(self) -> None:
        """Look at every file once."""
        began = time.monotonic()
        self.stats.problem = next(iter(self._memory.troubled.values()), None)
        found = await asyncio.to_thread(self._changed_of_all)
        self.stats.waited = time.monotonic() - began
        self.listed.set()
        await self._tell_all(found)
        self.stats.looks += 1

    async def changed(self, paths: Iterable[str]) -> None:
        """Look at files of which an event has told."""
        found = {}
        for changed in paths:
            source = owner_of(self._sources, changed)
            if source is None or (path := source.meant(changed)) in found or not _is_text(path):
                continue
            try:
                now = source.about(path)
            except OSError:
                continue  # gone: what was kept of it stays
            if self._is_new(path, now):
                found[path] = (source, path, now)
        await self._tell_all(found.values())

    async def again(self, paths: Iterable[str]) -> None:
        """Tell of files once more, although nothing is new in them."""
        for path in paths:
            self._memory.seen.pop(path, None)
            for key in [key for key in self._memory.marks if key.startswith(f"{path}#")]:
                del self._memory.marks[key]
            await self.changed([path])

    async def _look_again(self) -> None:
        while True:
            # What a look costs is counted in time of a processor: one that only waited, on a busy machine or
            # for a slow disk, must not put off the next one for minutes.
            cost = _SHARE * self.stats.looked_in
            await asyncio.sleep(max(self._rescan, cost, self.stats.waited))
            await self.look()

    async def _follow(self) -> None:
        """Follow the events of the folders that there are; begin anew when there are others."""
        while True:
            folders = self._folders()
            over = asyncio.Event()
            watching = asyncio.create_task(self._until_others(folders, over))
            try:
                if folders:
                    async for changes in awatch(
                        *folders,
                        step=round(self._settle * 1000),
                        debounce=round(_LONGEST_BATCH * 1000),
                        stop_event=over,
                        ignore_permission_denied=True,
                        watch_filter=self._is_wanted,
                        rust_timeout=1000,
                    ):
                        self._memory.troubled.pop(_EVENTS, None)
                        await self.changed(path for _, path in changes)
                else:
                    await over.wait()
            except Exception as error:
                # Too many watches, a folder that went away, a name that is no text (which the library reports
                # as a group): looking at every file goes on.
                self.stats.problem = self._memory.troubled[_EVENTS] = f"no events of files: {error}"
                self._log.warning("capture.events_lost", reason=repr(error))
                await asyncio.sleep(self._rescan)
            finally:
                watching.cancel()

    async def _until_others(self, folders: list[Path], over: asyncio.Event) -> None:
        while not over.is_set():
            await asyncio.sleep(self._rescan)
            if self._folders() != folders:
                over.set()

    def _folders(self) -> list[Path]:
        return sorted({source.root for source in self._sources if source.root.is_dir()})

    def _is_wanted(self, change: Change, path: str) -> bool:
        return change is not Change.deleted and owner_of(self._sources, path) is not None

    def _changed_of_all(self) -> list[tuple[Source, str, About]]:
        count, found, began = 0, [], time.thread_time()
        for source in self._sources:
            for path, now in source.files():
                if not _is_text(path):
                    continue
                count += 1
                if self._is_new(path, now):
                    found.append((source, path, now))
        self.stats.files = count
        self.stats.looked_in = time.thread_time() - began
        return found

    def _is_new(self, path: str, now: About) -> bool:
        return now.size > 0 and self._memory.seen.get(path) != (now.size, now.modified_ns)

    async def _tell_all(self, found: Iterable[tuple[Source, str, About]]) -> None:
        await asyncio.gather(*(self._told(*one) for one in found))

    async def _told(self, source: Source, path: str, now: About) -> None:
        async with self._slots:
            if not self._began:
                self._memory.old.add(path)
            try:
                # Once more: an event and a look may have found the same, or more may have come since.
                now = await asyncio.to_thread(source.about, path)
            except OSError:
                return  # gone since
            if not self._is_new(path, now):
                return
            # Before it is told: what is appended from here on is told again.
            self._memory.seen[path] = (now.size, now.modified_ns)
            store = source.reader.store_of(Path(path), self._roots.open)
            if store is not None:
                await self._store(source, path, store)
                return
            whose = await asyncio.to_thread(self._whose, source, path, now)
            if whose is not None and not await self._one(source, path, whose, path):
                self._memory.seen.pop(path, None)

    async def _store(self, source: Source, path: str, store: Store) -> None:
        """Tell of the sessions of a store that have changed."""
        try:
            listed = await asyncio.to_thread(lambda: list(known(store)))
        except ReadDenied as denied:
            self._refused(path, str(denied))
            return
        except Exception as error:
            # Damaged, gone, or a reader's defect: one store must not end the watching of the others.
            self._unreadable(path, str(error) if isinstance(error, Damaged | OSError) else repr(error))
            return
        self._memory.troubled.pop(path, None)
        for one in listed:
            key = session_key(path, one.identity.session_id)
            if not self._began:
                self._memory.old.add(key)
            if self._memory.marks.get(key) == one.mark:
                continue
            whose = Whose(source.reader.provider, one.identity.session_id)
            if await self._one(source, path, whose, key, one.identity.session_id):
                self._memory.marks[key] = one.mark
            else:
                self._memory.seen.pop(path, None)

    async def _one(self, source: Source, path: str, whose: Whose, key: str, session_id: str = "") -> bool:
        """Tell of one session; return whether somebody knows of it now."""
        conversation_id = whose.id_for(self._tenant)
        start = CaptureStart(
            tenant=self._tenant,
            conversation_id=conversation_id,
            host=self._host,
            name=f"{whose.provider} {whose.session_id}",
            idle_seconds=self._idle,
        )
        file = FileChanged(
            tenant=self._tenant,
            host=self._host,
            provider=source.reader.provider,
            path=path,
            session_id=session_id,
            conversation_id=conversation_id,
            fresh=source.reader.own and key not in self._memory.old,
        )
        try:
            await self._tell(start, file)
        except Failure as failure:
            self.stats.failures += 1
            self.stats.problem = failure.detail
            return False
        self.stats.told += 1
        self._memory.old.add(key)
        return True

    def _whose(self, source: Source, path: str, now: About) -> Whose | None:
        """Return whose conversation a file tells of; ``None`` for other files, and while that is unknown."""
        known = self._memory.whose.get((path, now.inode))
        if known is not None:
            return known
        try:
            file = Path(path)
            with expanded(self._roots.open(file), file) as opened:
                identity = source.reader.identify(file, head_of(source.reader, opened))
        except ReadDenied as denied:
            self._refused(path, str(denied))
            return None
        except Damaged as damaged:
            self._unreadable(path, str(damaged))
            # It is looked at again when it is another.
            self._memory.seen[path] = (now.size, now.modified_ns)
            return None
        except OSError as error:
            self._unreadable(path, str(error))
            return None
        self._memory.troubled.pop(path, None)
        if identity is None:
            return None
        whose = Whose(source.reader.provider, identity.session_id)
        self._memory.whose[path, now.inode] = whose
        return whose

    def _refused(self, path: str, reason: str) -> None:
        self.stats.denied += 1
        audit(
            "transcript.read",
            actor=f"host/{self._host}",
            tenant=self._tenant,
            decision="deny",
            path=path,
            reason=reason,
        )

    def _unreadable(self, path: str, reason: str) -> None:
        """Tell once why a file cannot be read, and try it again at the next look."""
        self._memory.seen.pop(path, None)
        told = self.stats.problem = f"{path}: {reason}"
        if self._memory.troubled.get(path) != told:
            self._memory.troubled[path] = told
            self._log.warning("transcript.unreadable", path=path, reason=reason)


def _is_text(path: str) -> bool:
    """Tell whether a path can be told of; a name that is no UTF-8 cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
