"""Limits on all processes of a sandbox together, where this machine's control groups can be written.

Owns the folders below ``/sys/fs/cgroup`` that are named ``minoots-…``. Knows version 2, and the version 1
that some machines still have. Where neither can be written, a sandbox has the weaker limits of each process,
and says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits

from .names import PREFIX, is_left_behind

_ROOT: Final = Path("/sys/fs/cgroup")
_MEGABYTE: Final = 1024 * 1024
_PERIOD: Final = 100_000
_EMPTY_FOR: Final = 600.0
"""Seconds: a guest that begins is in its group long before."""
_NEEDED: Final = ("memory", "pids", "cpu")


@dataclass(frozen=True)
class Place:
    """Where groups can be made.

    Attributes:
        folders: by controller; on version 2 all are the same.
        version: 1 or 2.
    """

    folders: Mapping[str, Path]
    version: int


class Group:
    """The control groups of one sandbox."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self._folders = {controller: folder / name for controller, folder in place.folders.items()}
        self._version = place.version

    @property
    def controllers(self) -> frozenset[str]:
        """What it limits: of ``memory``, ``pids`` and ``cpu``."""
        return frozenset(self._folders)

    def make(self, limits: Limits | None = None) -> None:
        """Make it, with limits where these are known already.

        Raises:
            OSError: it cannot be made here.
        """
        for folder in dict.fromkeys(self._folders.values()):
            folder.mkdir()
        if limits is not None:
            self.hold(limits)

    def hold(self, limits: Limits) -> None:
        """Hold what is in it to limits; once.

        Raises:
            OSError: it cannot be held to them here.
        """
        memory = limits.memory_mb * _MEGABYTE
        quota = max(1000, round(limits.cpus * _PERIOD))
        if self._version == 2:
            self._write("memory", "memory.max", memory)
            self._write("memory", "memory.swap.max", 0, needed=False)
            self._write("memory", "memory.oom.group", 0, needed=False)
            self._write("cpu", "cpu.max", f"{quota} {_PERIOD}")
        else:
            self._write("memory", "memory.limit_in_bytes", memory)
            self._write("memory", "memory.memsw.limit_in_bytes", memory, needed=False)
            self._write("cpu", "cpu.cfs_period_us", _PERIOD)
            self._write("cpu", "cpu.cfs_quota_us", quota)
        # One more: the guest itself.
        self._write("pids", "pids.max", limits.processes + 1)

    def add(self, pid: int) -> None:
        """Put a process into it; its children are born there.

        Raises:
            OSError: it cannot be.
        """
        for folder in dict.fromkeys(self._folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def killed_for_memory(self) -> int:
        """Return how many processes were killed because there was no memory left for them."""
        folder = self._folders.get("memory")
        if folder is None:
            return 0
        try:
            text = (folder / ("memory.events" if self._version == 2 else "memory.oom_control")).read_text()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    async def remove(self, within: float = 5.0) -> bool:
        """Kill what is left in it and remove it; ``False`` when something does not go ``within`` seconds."""
        left = set(self._folders.values())
        for _ in range(max(1, int(within / 0.01))):
            left = {folder for folder in left if not _remove(folder)}
            if not left:
                return True
            await asyncio.sleep(0.01)
        return False

    def _write(self, controller: str, name: str, value: int | str, *, needed: bool = True) -> None:
        folder = self._folders.get(controller)
        if folder is None:
            return
        try:
            (folder / name).write_text(str(value))
        except OSError:
            if needed:
                raise


def place() -> Place | None:
    """Return where groups can be made on this machine, ``None`` when nowhere."""
    for version, candidates in ((2, _second()), (1, _first())):
        for folders in candidates:
            found = Place(folders, version)
            if folders and _works(found):
                return found
    return None


def remove_left_behind(found: Place, empty_for: float = _EMPTY_FOR) -> int:
    """Remove the groups of processes that are no more, with whatever runs in them; return how many.

    A worker that was killed may have been started elsewhere, by another service or login. Of its groups only
    those are removed in which nothing runs, ``empty_for`` seconds after they were made or later: one that
    looks dead from here may live, in a container with numbers of processes of its own.
    """
    gone = sum(_remove_empty(folder, empty_for) for folder in _left_elsewhere(found))
    for parent in dict.fromkeys(found.folders.values()):
        for folder in parent.glob(f"{PREFIX}*"):
            if is_left_behind(folder.name):
                gone += _remove(folder)
    return gone


def _left_elsewhere(found: Place) -> Iterable[Path]:
    """Yield the groups of processes that are no more, wherever they are but where ours are."""
    here = set(found.folders.values())
    for root in _roots(found):
        for parent, names, _ in os.walk(root):
            left = [name for name in names if is_left_behind(name)]
            names[:] = [name for name in names if not name.startswith(PREFIX)]
            if Path(parent) not in here:
                yield from (Path(parent, name) for name in left)


def _roots(found: Place) -> Iterable[Path]:
    return [_ROOT] if found.version == 2 else [_ROOT / one for one in found.folders]


def _remove_empty(folder: Path, empty_for: float) -> bool:
    """Remove a group of this user in which nothing runs; the kernel refuses one that has processes."""
    try:
        about = folder.stat()
        if about.st_uid != os.geteuid() or time.time() - about.st_ctime < empty_for:
            return False
        folder.rmdir()
    except OSError:
        return False
    return True


def _works(found: Place) -> bool:
    """Try: what permissions and flags say of control groups is not always so."""
    group = Group(found, f"{PREFIX}probe-{os.getpid()}")
    try:
        group.make(Limits())
    except OSError:
        return False
    finally:
        for folder in dict.fromkeys(group._folders.values()):
            _remove(folder)
    return True


def _remove(folder: Path) -> bool:
    try:
        pids = [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        pids = []
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _mine() -> dict[str, str]:
    """Return this process's group by controller; ``""`` stands for version 2."""
    found = {}
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path.lstrip("/")
    return found


def _second() -> Iterable[Mapping[str, Path]]:
    """Yield places of version 2: below this process's own group, and beside it."""
    mine = _mine().get("")
    if mine is None or not (_ROOT / "cgroup.controllers").exists():
        return
    own = _ROOT / mine
    for folder in (own, own.parent):
        if folder != _ROOT.parent and (folder / "cgroup.subtree_control").exists():
            with suppress(OSError):
                # Refused where the group has processes of its own, which is why the one above is tried, too.
                (folder / "cgroup.subtree_control").write_text("+memory +pids +cpu")
            with suppress(OSError):
                enabled = (folder / "cgroup.subtree_control").read_text().split()
                yield {one: folder for one in _NEEDED if one in enabled}


def _first() -> Iterable[Mapping[str, Path]]:
    """Yield the place of version 1: below this process's own group of each controller."""
    mine = _mine()
    found = {one: _ROOT / one / mine[one] for one in _NEEDED if one in mine}
    yield {one: folder for one, folder in found.items() if (folder / "cgroup.procs").exists()}
