"""How much memory this machine has, as far as this process may have it.

Owns what the kernel tells: all of the machine's, and less where a control group has less. Where it tells
nothing of what is free, only what there is is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MEGABYTE: Final = 1024 * 1024
_NO_LIMIT: Final = 1 << 60
"""Version 1 tells a number near the greatest where there is no limit, version 2 ``max``."""


@dataclass(frozen=True)
class Memory:
    """Memory, in megabytes.

    Attributes:
        total: all that there is.
        free: what could be had now, caches included; ``None`` where nobody tells.
    """

    total: int
    free: int | None


def of_machine(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Memory:
    """Return what there is, for this process."""
    told = _numbers(proc / "meminfo")
    if "MemTotal" not in told:
        return Memory(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEGABYTE, None)
    total = told["MemTotal"] // 1024
    free = told.get("MemAvailable")
    found = Memory(total, None if free is None else free // 1024)
    for limit, used in _limits(proc, groups):
        left = max(0, limit - used)
        found = Memory(min(found.total, limit), left if found.free is None else min(found.free, left))
    return found


_Files = tuple[Path, str, str, tuple[str, str]]


def _limits(proc: Path, groups: Path) -> Iterable[tuple[int, int]]:
    """Yield limit and use of each control group that this process is in, in megabytes."""
    second: _Files = (groups, "memory.max", "memory.current", ("inactive_file", "active_file"))
    first: _Files = (
        groups / "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    )
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers != "" and "memory" not in controllers.split(","):
            continue
        root, limit, used, cached = first if controllers else second
        folder = root / path.lstrip("/")
        while folder.is_relative_to(root):
            most = _number(folder / limit)
            if most is not None and most < _NO_LIMIT:
                stat = _numbers(folder / "memory.stat")
                # Caches go when memory is wanted; files in memory (tmpfs) do not, and are none of them.
                gone = sum(stat.get(name, 0) for name in cached)
                yield most // _MEGABYTE, max(0, (_number(folder / used) or 0) - gone) // _MEGABYTE
            folder = folder.parent


def used_by(name: str, groups: Iterable[Path], folders: Path) -> int:
    """Return the megabytes that a sandbox has already, so far as that can be seen.

    Args:
        name: what all that belongs to it begins with.
        groups: where control groups are made.
        folders: where those of machines are made, each with the number of its process.
    """
    found = 0
    for parent in dict.fromkeys(groups):
        for group in parent.glob(f"{name}*"):
            for file in ("memory.current", "memory.usage_in_bytes"):
                found += _number(group / file) or 0
    for pid in folders.glob(f"{name}*/pid"):
        with suppress(OSError, ValueError, IndexError):
            pages = int(Path("/proc", pid.read_text().strip(), "statm").read_text().split()[1])
            found += pages * os.sysconf("SC_PAGE_SIZE")
    return found // _MEGABYTE


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _numbers(path: Path) -> Mapping[str, int]:
    found = {}
    for line in _text(path).splitlines():
        name, *values = line.replace(":", " ").split()
        if values and values[0].isdigit():
            found[name] = int(values[0])
    return found
