"""Programs of this host that machines take: where they are, and how one is started and ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .faults import ImageFault


def find(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the paths of programs.

    Args:
        wanted: their names, and where each comes from.

    Raises:
        ImageFault: one is missing.
    """
    found = {name: shutil.which(name, path=_search_path()) for name in wanted}
    missing = [f"{name} ({wanted[name]})" for name, path in found.items() if path is None]
    if missing:
        raise ImageFault(
            f"machines take programs that are not here: {', '.join(missing)}", "Install them, or name them."
        )
    return {name: str(path) for name, path in found.items()}


async def start(command: Sequence[str], *, inherits: Sequence[int] = ()) -> asyncio.subprocess.Process:
    """Start a program that the kernel ends when we die, where there is `setpriv`; pipes have its output."""
    setpriv = shutil.which("setpriv")
    return await asyncio.create_subprocess_exec(
        # The kernel ends it when we die, whatever we die of.
        *([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        pass_fds=tuple(inherits),
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a program and wait until it is gone."""
    # Not by process.kill(): that looks whether it has ended, and takes its end from who waits for it.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await process.wait()


def _search_path() -> str:
    # Programs that make file systems are where only administrators look for them.
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
