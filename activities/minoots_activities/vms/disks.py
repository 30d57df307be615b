"""The disk of a machine: made for it, empty, and as large as its limits say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import never_started

MKFS: Final = {"mkfs.ext4": "package e2fsprogs"}
_LEAST_MB: Final = 8
"""Less does not hold a file system."""
_MEGABYTE: Final = 1024 * 1024


async def make(mkfs: str, disk: Path, limits: Limits) -> None:
    """Make a file with an empty file system in it.

    Raises:
        NeverStarted: there is no room for it.
    """
    # Sparse: it takes up what is written to it.
    with disk.open("wb") as file:
        file.truncate(max(limits.disk_mb, _LEAST_MB) * _MEGABYTE)
    making = await asyncio.create_subprocess_exec(
        mkfs,
        *("-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", str(disk)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await making.communicate()
    if making.returncode != 0:
        raise never_started(
            f"no disk could be made for the machine: {said.decode(errors='replace').strip()[-300:]}",
            "See whether there is room where temporary files are kept.",
        )
