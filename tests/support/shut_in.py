"""A sandbox with programs run in a line, for tests of every tier."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import psutil

from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.guested import GuestedSandbox
from minoots_activities.sandboxes.port import Program, Ran, Sandbox
from minoots_activities.vms.machines import Machine

STRONG = [Tier.BUBBLEWRAP]
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
        running = self.sandbox if isinstance(self.sandbox, GuestedSandbox) else self.sandbox._machine
        process = running._process if isinstance(running, GuestedSandbox) else running.process
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]

    async def sh(self, script: str, **options: Any) -> Said:
        """Run a script of the shell."""
        return await self.run("sh", "-c", script, **options)

    async def python(self, script: str) -> Said:
        """Run a script of Python."""
        return await self.run("python3", "-c", script)

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
