"""Disks of machines: the one of each, empty and as large as its limits say, and such as hold files."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import never_started

from .faults import ImageFault

MKFS: Final = {"mkfs.ext4": "package e2fsprogs"}
_LEAST_MB: Final = 8
"""Less does not hold a file system."""
_MEGABYTE: Final = 1024 * 1024


async def make(mkfs: str, disk: Path, limits: Limits) -> None:
    """Make a file with an empty file system in it.

    Raises:
        NeverStarted: there is no room for it.
    """
    making = await asyncio.create_subprocess_exec(
        *_command(mkfs, disk, max(limits.disk_mb, _LEAST_MB)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await making.communicate()
    if making.returncode != 0:
        raise never_started(
            f"no disk could be made for the machine: {said.decode(errors='replace').strip()[-300:]}",
            "See whether there is room where temporary files are kept.",
        )


def fill(mkfs: str, disk: Path, files: Path, megabytes: int, count: int) -> None:
    """Make a file with a file system that holds ``files``.

    Args:
        mkfs: what makes it.
        disk: the file.
        files: a folder.
        megabytes: how large it is.
        count: how many files it can hold.

    Raises:
        ImageFault: they do not go into it.
    """
    command = _command(mkfs, disk, megabytes, "-d", str(files), "-N", str(count))
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - mkfs, and paths of ours
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise ImageFault(f"no disk could be made of these files: {said}", "See whether there is room.")


def _command(mkfs: str, disk: Path, megabytes: int, *more: str) -> list[str]:
    # Sparse: it takes up what is written to it.
    with disk.open("wb") as file:
        file.truncate(megabytes * _MEGABYTE)
    options = ("-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard")
    return [mkfs, *options, *more, str(disk)]
