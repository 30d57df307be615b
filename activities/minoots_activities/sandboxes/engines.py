"""podman, as a command: what is asked of it, and how long that may take.

Owns its words. Decides nothing about what a container may have.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_KEPT: Final = ("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
_SECONDS: Final = 60.0
"""podman answers in tenths of a second, unless the machine is busy."""


@dataclass(frozen=True)
class ContainerEngine:
    """An engine of containers on this machine.

    Attributes:
        binary: its name or path.
        options: given before every command.
    """

    binary: str = "podman"
    options: tuple[str, ...] = ()

    def found(self) -> bool:
        """Tell whether it is installed."""
        return shutil.which(self.binary) is not None

    def command(self, *arguments: str) -> list[str]:
        """Return what is run."""
        return [self.binary, *self.options, *arguments]

    def environment(self) -> dict[str, str]:
        """Return what it finds in its environment: nothing that is none of its business."""
        return {name: os.environ[name] for name in _KEPT if name in os.environ}

    async def ask(self, *arguments: str) -> tuple[int, str]:
        """Run a command; return what it exits with, and what it says.

        Raises:
            OSError: it cannot be run, or does not end.
        """
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                said, complained = await process.communicate()
        except TimeoutError as error:
            raise OSError(f"{self.binary} {arguments[0]} did not end in {_SECONDS:g} s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        code = process.returncode or 0
        return code, (complained if code else said).decode(errors="replace").strip()
