"""A sandbox with programs run in a line, for tests of every tier."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import psutil

from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.carrying import command
from minoots_activities.sandboxes.guested import GuestedSandbox
from minoots_activities.sandboxes.port import Program, Ran, Sandbox
from minoots_activities.vms.machines import Machine

STRONG = [Tier.BUBBLEWRAP, Tier.CONTAINER]
"""Tiers that shut in."""


@dataclass
class Said:
    """What a program wrote, and how it ended."""

    ran: Ran
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams."""
        return self.out + self.err


class Try:
    """A sandbox, with programs run in a line."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def processes(self) -> list[psutil.Process]:
        """Every process of it, from outside: the one that was started first."""
        assert isinstance(self.sandbox, GuestedSandbox | Machine)
        if self.sandbox.tier is Tier.CONTAINER:
            return self._contained()
        running = self.sandbox if isinstance(self.sandbox, GuestedSandbox) else self.sandbox._machine
        process = running._process if isinstance(running, GuestedSandbox) else running.process
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]

    def _contained(self) -> list[psutil.Process]:
        """Processes of a container are no children of what was started, but all in one group."""
        assert isinstance(self.sandbox, GuestedSandbox)
        assert self.sandbox._group is not None
        found = []
        with contextlib.suppress(FileNotFoundError):
            text = (self.sandbox._group._folders["pids"] / "cgroup.procs").read_text()
            for pid in text.split():
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(int(pid)))
        return found

    async def sh(self, script: str, **options: Any) -> Said:
        """Run a script of the shell."""
        return await self.run("sh", "-c", script, **options)

    async def python(self, script: str, **options: Any) -> Said:
        """Run a script of Python: the system's, or where an image has none that of the guest."""
        python = ["python3"]
        if self.sandbox.tier is Tier.CONTAINER:
            python = [*command("")[:4], "-I", "-S"]
        return await self.run(*python, "-c", script, **options)

    async def run(self, *command: str, **options: Any) -> Said:
        """Run a program."""
        written = {"stdout": bytearray(), "stderr": bytearray()}

        async def hear(stream: str, data: bytes) -> None:
            written[stream] += data

        ran = await self.sandbox.exec(Program(command, **options), hear)
        return Said(
            ran, written["stdout"].decode(errors="replace"), written["stderr"].decode(errors="replace")
        )


Open = Callable[..., Coroutine[Any, Any, Try]]


def of_the_dead(name: str) -> str:
    """A name as a process gave it that is no more."""
    code = f"from minoots_activities.sandboxes.names import name_of; print(name_of({name!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
