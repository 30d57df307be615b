"""Telling the workflow of a conversation that there is more: whose a file is, what sessions a store has.

What cannot be read, and of which nobody could be told, is new again at the next look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from minoots.errors import Failure
from minoots_platform.records.conversations import Whose
from minoots_platform.telemetry import audit, get_logger
from minoots_workflows.capture.contracts import CaptureStart, FileChanged

from .answering import apart
from .compressed import Damaged, expanded
from .ingest import session_key
from .listing import Listing
from .parts import beginning_of
from .readers.identity import held
from .readers.store import Store, known
from .roots import ReadDenied, ReadRoots
from .sources import About, Source
from .unread import Unread
from .watched import Memory, Stats

Tell = Callable[[CaptureStart, FileChanged], Awaitable[None]]

_AT_ONCE: Final = 20
_WAITING: Final = 1000
"""Files that wait to be told of."""
_RECENT_NS: Final = 3_600 * 10**9
"""Nanoseconds within which a file has changed that is new: clocks of disks in a network differ."""


class Announcer:
    """Tells whoever keeps a conversation that there is more of it."""

    def __init__(
        self,
        tell: Tell,
        roots: ReadRoots,
        listing: Listing,
        memory: Memory,
        unread: Unread,
        stats: Stats,
        *,
        tenant: str,
        host: str,
        idle: float,
    ) -> None:
        self._tell = tell
        self._roots = roots
        self._listing = listing
        self._memory = memory
        self._unread = unread
        self._stats = stats
        self._tenant = tenant
        self._host = host
        self._idle = idle
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._log = get_logger("minoots.capture")

    async def announce(self, found: Iterable[tuple[Source, str, About]]) -> None:
        """Tell of files in which something is new."""
        # So many at a time: of a hundred thousand files, the waiting alone would take hundreds of megabytes.
        all_ = iter(found)
        while part := list(islice(all_, _WAITING)):
            await asyncio.gather(*(self._told(*one) for one in part))

    async def _told(self, source: Source, path: str, now: About) -> None:
        async with self._slots:
            if not self._memory.began:
                self._memory.old.add(path)
            try:
                # Once more: an event and a look may have found the same, or more may have come since.
                now = await apart(partial(self._listing.about, source, path))
            except OSError:
                return  # gone since, or it does not answer, and is looked at again
            if not self._memory.is_new(path, now):
                return
            if (before := self._memory.seen.get(path)) is not None and now.size < before[0]:
                # Not appended to: it may be another conversation's by now.
                self._memory.whose.pop(path, None)
            # Before it is told: what is appended from here on is told again.
            self._memory.seen[path] = (now.size, now.modified_ns)
            whose = self._known(path, now)
            if whose is None:
                # A thread of its own that is held there holds up nobody; all of a loop's pool would.
                try:
                    await apart(partial(self._listing.require_answer, path, self._roots.open))
                except TimeoutError as silent:
                    self._unreadable(path, str(silent.strerror))
                    return
                store = await apart(partial(source.reader.store_of, Path(path), self._roots.open))
                if store is not None:
                    await self._store(source, path, store)
                    return
                whose = await apart(partial(self._whose, source, path, now))
            if whose is not None and not await self._one(source, path, whose, path):
                self._memory.seen.pop(path, None)

    async def _store(self, source: Source, path: str, store: Store) -> None:
        """Tell of the sessions of a store that have changed."""
        try:
            listed = await apart(lambda: list(known(store)))
        except ReadDenied as denied:
            self._refused(path, str(denied))
            return
        except Exception as error:
            # Damaged, gone, or a reader's defect: one store must not end the watching of the others.
            self._unreadable(path, str(error) if isinstance(error, Damaged | OSError) else repr(error))
            return
        self._memory.troubled.pop(path, None)
        self._unread.only(path, {session_key(path, one.identity.session_id) for one in listed})
        for one in listed:
            key = session_key(path, one.identity.session_id)
            if not self._memory.began:
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
            fresh=source.reader.own and self._is_fresh(path, key),
        )
        try:
            await self._tell(start, file)
        except Failure as failure:
            self._stats.failures += 1
            self._stats.problem = failure.detail
            return False
        self._stats.told += 1
        self._memory.old.add(key)
        self._memory.fresh.discard(key)
        return True

    def _is_fresh(self, path: str, key: str) -> bool:
        """Tell whether what is said in a session has come while it was looked after.

        What comes with the time of long ago was copied or unpacked here: it is as old as before.
        """
        if key in self._memory.old or key in self._memory.fresh:
            return key not in self._memory.old
        _, modified_ns = self._memory.seen.get(path, (0, 0))
        return time.time_ns() - modified_ns < _RECENT_NS

    def _known(self, path: str, now: About) -> Whose | None:
        """Return whose conversation a file tells of, if that was found out before."""
        inode, known = self._memory.whose.get(path, (0, None))
        return known if inode == now.inode else None

    def _whose(self, source: Source, path: str, now: About) -> Whose | None:
        """Return whose conversation a file tells of; ``None`` for other files, and while that is unknown."""
        try:
            file = Path(path)
            with expanded(self._roots.open(file), file) as opened:
                identity = held(source.reader.identify(file, beginning_of(source.reader, opened).head))
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
            self._unread.over(path)  # it has become none of ours
            return None
        whose = Whose(source.reader.provider, identity.session_id)
        self._memory.whose[path] = now.inode, whose
        return whose

    def _refused(self, path: str, reason: str) -> None:
        self._stats.denied += 1
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
        told = self._stats.problem = f"{path}: {reason}"
        if self._memory.troubled.get(path) != told:
            self._memory.troubled[path] = told
            self._log.warning("transcript.unreadable", path=path, reason=reason)
