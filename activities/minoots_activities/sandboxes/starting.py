"""Starting a guest: the pipes, the socket and the process that are the same for every tier."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from minoots.contracts.sandboxes import Limits

from .cgroups import Group
from .channel import Channel
from .port import never_started

GUEST: Final = Path(__file__).with_name("guest.py")
_READY_WITHIN: Final = 20.0
"""Seconds: 20 ms are usual, but a machine may be busy."""
_MEGABYTE: Final = 1024 * 1024
_NO_CORE: Final = {"RLIMIT_CORE": 0}


@dataclass
class Started:
    """A process with a guest that has answered."""

    process: asyncio.subprocess.Process
    channel: Channel


async def start(
    command: Callable[[int], Sequence[str]],
    pass_fds: Sequence[int] = (),
    *,
    beforehand: Callable[[int], Awaitable[bool]] | None = None,
    **options: Any,
) -> Started:
    """Start a guest and wait for its first word.

    Args:
        command: what is run, by the descriptor of the guest's end of the socket.
        pass_fds: what it inherits beside that.
        beforehand: what is done when the process is there, while its guest begins; ``False`` says that it
            will not do.
        options: as `asyncio.create_subprocess_exec` takes them.

    Raises:
        NeverStarted: it did not begin; the error has what it said.
    """
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(
            *command(theirs.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(), *pass_fds),
            **options,
        )
    except OSError as error:
        ours.close()
        raise never_started(
            f"the sandbox cannot be started: {error.strerror}", "See how-to/jobs.md."
        ) from error
    finally:
        theirs.close()
    channel = Channel(ours)
    try:
        prepared = beforehand is None or await beforehand(process.pid)
        if not prepared or not await channel.ready(_READY_WITHIN):
            raise never_started(
                f"the sandbox did not begin: {await said(process)}",
                "See how-to/jobs.md for what a tier needs of a machine.",
            )
    except BaseException:
        channel.close()
        await ended(process)
        raise
    return Started(process, channel)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Kill a process and wait until it is gone."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def gone_within(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Wait until a process has ended; ``False`` when it has not in so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        # Known as soon as it is so: to wait may take longer, for what it has left may hold its pipes.
        return process.returncode is not None
    return True


async def said(process: asyncio.subprocess.Process) -> str:
    """Return what a process that failed wrote last."""
    if process.stderr is None:
        return "it said nothing"
    try:
        async with asyncio.timeout(2):
            said = await process.stderr.read(4096)
    except TimeoutError:
        return "it hangs"
    return said.decode(errors="replace").strip()[-500:] or f"it ended with {process.returncode}"


def limits_of(
    limits: Limits, group: Group | None, *, processes: bool
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the limits of each process, and what holds which limit.

    Args:
        limits: those of the sandbox.
        group: its control group: what that limits need not be limited twice.
        processes: whether a number of processes of its own can be limited by rlimit.
    """
    held = group.controllers if group is not None else frozenset()
    each = {**_NO_CORE, "RLIMIT_FSIZE": limits.disk_mb * _MEGABYTE, "RLIMIT_NOFILE": 1024}
    by = {"time": "clock", "output": "count", "disk": "rlimit"}
    if "memory" in held:
        by["memory"] = "cgroup"
    else:
        each["RLIMIT_AS"] = limits.memory_mb * _MEGABYTE
        by["memory"] = "rlimit"
    if "pids" in held:
        by["processes"] = "cgroup"
    elif processes:
        each["RLIMIT_NPROC"] = limits.processes + 1
        by["processes"] = "rlimit"
    else:
        by["processes"] = "nothing"
    by["cpus"] = "cgroup" if "cpu" in held else "nothing"
    return each, by


def interpreter(readable_by: int | None) -> Path | None:
    """Return a Python that runs the guest: ours, or the machine's where another user has to read it.

    Args:
        readable_by: the number of that user; ``None`` for this one.
    """
    for candidate in (Path(sys.base_prefix) / "bin" / "python3", Path("/usr/bin/python3")):
        with suppress(OSError):
            found = candidate.resolve(strict=True)
            if readable_by is None or all(_open_to_all(one) for one in (found, *found.parents)):
                return candidate
    return None


def _open_to_all(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o001)


def held(data: bytes) -> int:
    """Return a descriptor from which ``data`` is read, in memory.

    No pipe: of a user who has many of them, which a program of a sandbox may see to where the worker is not
    root, the kernel lets a new one hold a page or two, and whoever writes more waits for a reader for ever.
    """
    fd = os.memfd_create("sandbox")
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def environment(home: str, path: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what every program of a sandbox finds in its environment: nothing of ours."""
    return {"PATH": path, "HOME": home, "TMPDIR": "/tmp", "LANG": "C.UTF-8", **(more or {})}  # noqa: S108
