"""Room for sandboxes: none begins for which this machine has no memory, whatever the others still take.

Owns the list of what has room and who waits for it, a folder that all workers of this machine share: each
entry is a file that tells by its name whose it is, so that what the dead had is free again. What counts is
what sandboxes may take, not what they have taken so far: ten that have just begun use next to nothing.

Whose turn it is says `line`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import FailureKind
from minoots_platform.telemetry import get_logger

from .line import Entry, may_begin, places_without
from .memory import Memory, of_machine, used_by
from .names import is_left_behind, name_of
from .port import NeverStarted, never_started

_LOOK: Final = 0.25
"""Seconds between two looks of one who waits: what other processes give back is told to nobody."""
_OF_A_MACHINE: Final = 192
"""Megabytes that QEMU takes beside the memory of its guest."""
_TELL_AFTER: Final = 240
"""Looks after which the log is told that somebody still waits."""
_ALIVE: Final = 30.0
"""Seconds without a look after which nobody heeds one who waits: his worker may be stopped, and not dead."""
_AROUND: Final = timedelta(minutes=1)
"""What a sandbox may take beside the time of its program: to start, to be filled, to have its files taken."""


class Room:
    """The memory that sandboxes of this machine have together.

    Args:
        most: megabytes that they may have; by default all that there is but ``spare``.
        spare: megabytes that are left to everything else.
        folder: where the list is; all workers of this machine have the same (`folder_of`).
        memory: what the machine has.
        groups: where control groups of sandboxes are made.
        now: nanoseconds since the machine was started, the same for all of its processes.
    """

    def __init__(
        self,
        most: int | None = None,
        spare: int = 512,
        *,
        folder: Path,
        memory: Callable[[], Memory] = of_machine,
        groups: tuple[Path, ...] = (),
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._most = most
        self._spare = spare
        self._folder = folder
        self._memory = memory
        self.groups = groups
        self._now = now
        self._changed = asyncio.Event()
        self._held: dict[str, Path] = {}

    @property
    def most(self) -> int:
        """Megabytes that one sandbox can have when there is no other."""
        there = max(0, self._memory().total - self._spare)
        return there if self._most is None else min(self._most, there)

    def require(self, tier: Tier, limits: Limits) -> None:
        """Refuse what could never begin here.

        Raises:
            NeverStarted: it needs more than there is.
        """
        wanted, most = cost(tier, limits), self.most
        if wanted > most:
            more = "" if wanted == limits.memory_mb else f" ({wanted} with what a machine takes itself)"
            raise NeverStarted(
                FailureKind.INVALID,
                f"limits.memory_mb is {limits.memory_mb}{more}, and sandboxes of this worker's machine have "
                f"{most} together",
                remedy="Ask for less, or have the operator raise sandbox.memory_mb or take a larger machine.",
            )

    @asynccontextmanager
    async def hold(
        self,
        label: str,
        tier: Tier,
        limits: Limits,
        priority: int = 3,
        *,
        lasts: timedelta | None = None,
        waited: timedelta = timedelta(0),
        whose: str = "",
    ) -> AsyncIterator[None]:
        """Wait until there is room for a sandbox, and keep it as long as this lasts.

        What could never begin is not waited for: `require` refuses it.

        Args:
            label: what the sandbox will be called.
            tier: which it will be.
            limits: what it may take.
            priority: 1 goes first, of those of one tenant.
            lasts: how long it will be there at most; by default as long as its limits give a program.
            waited: how long it has waited before: it keeps its place when it comes again.
            whose: the tenant's.

        Raises:
            NeverStarted: the list cannot be kept.
        """
        wanted = cost(tier, limits)
        if wanted > self.most:
            yield
            return
        path = self._folder / name_of(label)
        try:
            came = self._now() - _nanoseconds(waited)
            there = _nanoseconds((limits.time if lasts is None else lasts) + _AROUND)
            await self._wait(path, Entry(wanted, priority, came, taken=False, whose=whose), there)
        except BaseException as error:
            self._leave(path)
            if isinstance(error, OSError):
                raise never_started(
                    f"the list of sandboxes in {self._folder} cannot be kept: {error.strerror}",
                    "Let the worker write there, or give it another TMPDIR.",
                ) from error
            raise
        self._held[label] = path
        try:
            yield
        finally:
            del self._held[label]
            self._leave(path)

    def know(self, name: str, group: str) -> None:
        """Note what the control groups of a sandbox are called that has room here.

        Args:
            name: of the sandbox; it begins with what room was held for.
            group: the name of its groups.
        """
        labels = [label for label in self._held if name.startswith(label)]
        if not labels:
            return
        path = self._held[max(labels, key=len)]
        # Whole at any time: what others cannot read does not count.
        whole = path.with_name(f"{path.name}.whole")
        with suppress(OSError, ValueError, TypeError):
            whole.write_text(_text(replace(Entry(**json.loads(path.read_text())), group=group)))
            whole.replace(path)

    async def _wait(self, path: Path, mine: Entry, there: int) -> None:
        looks = 0
        while not self._take(path, replace(mine, ends=self._now() + there)):
            looks += 1
            if looks % _TELL_AFTER == 1:
                log = get_logger("minoots.sandboxes")
                log.info("sandbox.waits_for_memory", mb=mine.mb, most=self.most, free=self._memory().free)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()

    def _leave(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        self._changed.set()

    def _take(self, path: Path, mine: Entry) -> bool:
        """Take room if it is there and nobody is before; tell whether it was.

        In the thread of the loop: a few small files, and nobody who is called off leaves an entry behind.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        about = self._folder.lstat()
        if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode):
            # A link of somebody else's to a folder of ours would have us write there.
            raise PermissionError(errno.EPERM, "it is somebody else's")
        with (self._folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Somebody is at it this very moment.
                return False
            entries = dict(self._entries())
            if path in entries:
                # Another one of the same tenant may have begun in its place.
                mine = replace(mine, since=entries.pop(path).since)
            fits = self._fits(path.name, mine, entries)
            if fits:
                self._shift(path.name, mine, entries)
            path.write_text(_text(replace(mine, taken=fits)))
            return fits

    def _shift(self, name: str, mine: Entry, others: dict[Path, Entry]) -> None:
        waiting = {path.name: entry for path, entry in others.items() if not entry.taken} | {name: mine}
        for other, since in places_without(name, waiting).items():
            # Not made anew: he may have left meanwhile.
            with suppress(FileNotFoundError), (self._folder / other).open("r+") as file:
                looked = os.fstat(file.fileno())
                file.write(_text(replace(waiting[other], since=since)))
                file.truncate()
                file.flush()
                # It was not he who looked.
                os.utime(file.fileno(), ns=(looked.st_atime_ns, looked.st_mtime_ns))

    def _fits(self, name: str, mine: Entry, others: dict[Path, Entry]) -> bool:
        taken = {other: entry for other, entry in others.items() if entry.taken}
        # What others may still take is as good as gone.
        coming = sum(max(0, entry.mb - self._used(other, entry)) for other, entry in taken.items())
        left = self.most - sum(entry.mb for entry in taken.values())
        free = self._memory().free
        if free is not None:
            left = min(left, free - self._spare - coming)
        named = {other.name: entry for other, entry in others.items()}
        return may_begin(name, mine, named, lambda mb: mb - left)

    def _entries(self) -> Iterator[tuple[Path, Entry]]:
        """Yield who has room, and who waits for it and is alive."""
        for path in self._folder.iterdir():
            if is_left_behind(path.name):
                path.unlink(missing_ok=True)
                continue
            with suppress(OSError, ValueError, TypeError):
                entry = Entry(**json.loads(path.read_text()))
                # Each look of one who waits writes his entry anew.
                if entry.taken or time.time() - path.stat().st_mtime < _ALIVE:
                    yield path, entry

    def _used(self, path: Path, entry: Entry) -> int:
        # Its groups and folders begin with the same words, of which a folder has the first sixty letters.
        begins = entry.group or path.name.rpartition("-")[0][:60]
        return used_by(begins, self.groups, Path(tempfile.gettempdir()))


def _text(entry: Entry) -> str:
    return json.dumps(asdict(entry))


def folder_of(data: Path) -> Path:
    """Return where the list of those workers is that have this data directory.

    Not in it: several machines may share that, and each has its own memory.
    """
    which = hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"minoots-room-{os.getuid()}-{which}")


def cost(tier: Tier, limits: Limits) -> int:
    """Return the megabytes that a sandbox may take of the machine."""
    return limits.memory_mb + (_OF_A_MACHINE if tier is Tier.VM else 0)


def _nanoseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1_000_000_000)
