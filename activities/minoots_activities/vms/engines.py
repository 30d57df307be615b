"""What starts machines: one way or another, with the same guest in them."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from minoots.contracts.sandboxes import Limits

from .console import Console
from .frames import Frame, begin_frame
from .guest import Guest

KERNEL_MB: Final = 96
"""Memory beside that of the programs: the kernel, its first file system and the guest."""


class Running(Protocol):
    """A machine that runs, from when it has begun."""

    process: asyncio.subprocess.Process
    guest: Guest
    console: Console

    async def end(self) -> None:
        """End it; nothing of it runs when this returns. May be called again."""


@dataclass(frozen=True)
class Started:
    """What an engine has started.

    Attributes:
        held_by: what of it stands in the result of a job.
    """

    machine: Running
    held_by: Mapping[str, str]


class Engine(ABC):
    """A way to start machines on this host."""

    @abstractmethod
    async def missing(self) -> tuple[str, ...]:
        """Return what this host lacks for it, each in a sentence."""

    @abstractmethod
    async def start(self, limits: Limits, folder: Path, root: Path | None = None) -> Started:
        """Return a machine that has begun.

        Args:
            limits: of its programs together.
            folder: an empty folder of its own, with a short path: sockets are made in it.
            root: the file of a second disk, which it may only read.

        Raises:
            NeverStarted: it did not come up; the error has what it said.
        """


def own(limits: Limits, *, root: bool) -> Frame:
    """Return what a new machine is told first."""
    # Nothing that tells of the job: a program may read it.
    name = f"machine-{secrets.token_hex(3)}"
    randomness = secrets.token_bytes(64)
    return begin_frame(time.time_ns(), limits.memory_mb, limits.processes, randomness, name, root=root)
