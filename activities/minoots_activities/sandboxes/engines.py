"""podman or docker, as a command: what is asked of it, and how long that may take.

Owns which one is there and how it is spoken to. Decides nothing about what a container may have, and never
takes the one for the other: which one it is says the program itself, whatever it is called.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from contextlib import suppress
from typing import Final

from minoots.contracts.sandboxes import Tier
from minoots_platform.telemetry import get_logger

from .engine_words import Kind, Wanted, docker_create, podman_run, removal
from .port import never_started
from .starting import gone_within

KINDS: Final[tuple[Kind, ...]] = ("podman", "docker")
"""In the order in which they are looked for."""

_KEPT: Final = ("HOME", "PATH", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
_KEPT_BY_DOCKER: Final = ("DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST")
_NAMES: Final = "{{.Names}}"
_SECONDS: Final = 60.0
"""They answer in tenths of a second, unless the machine is busy."""
_KILLED: Final = 5.0
"""Seconds in which a command that was killed is gone."""


class ContainerEngine:
    """An engine of containers on this machine.

    Args:
        binary: its name or path; by default podman where it is, and docker elsewhere.
        options: given before every command.
    """

    def __init__(self, binary: str | None = None, options: tuple[str, ...] = ()) -> None:
        there = (kind for kind in KINDS if shutil.which(kind))
        self.binary = binary or next(there, KINDS[0])
        self.options = options
        self._kind: Kind | None = None

    def found(self) -> bool:
        """Tell whether it is installed."""
        return shutil.which(self.binary) is not None

    async def kind(self) -> Kind:
        """Return which one it is.

        Raises:
            OSError: it does not say.
        """
        if self._kind is None:
            code, told = await self.ask("--version")
            found: Kind | None = next((kind for kind in KINDS if told.lower().startswith(kind)), None)
            if code != 0 or found is None:
                raise OSError(0, f"{self.binary} says that it is neither podman nor docker: {told[:200]}")
            self._kind = found
        return self._kind

    def command(self, *arguments: str) -> list[str]:
        """Return what is run."""
        return [self.binary, *self.options, *arguments]

    def environment(self) -> dict[str, str]:
        """Return what it finds in its environment: nothing that is none of its business."""
        kept = _KEPT if self._kind == "podman" else (*_KEPT, *_KEPT_BY_DOCKER)
        return {name: os.environ[name] for name in kept if name in os.environ}

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
                # With all that it has begun itself: that would hold its pipes.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await gone_within(process, _KILLED)
        code = process.returncode or 0
        return code, (complained if code else said).decode(errors="replace").strip()

    async def begin(self, wanted: Wanted) -> asyncio.subprocess.Process:
        """Begin a container; return a process that ends when it does.

        Raises:
            NeverStarted: it did not begin, or the engine would give it more than it may have.
        """
        try:
            return await self._begin(wanted)
        except OSError as error:
            raise never_started(
                f"{self.binary} cannot be run: {error.strerror or error}",
                "See sandbox.container.engine, and how-to/jobs.md for what a tier needs.",
            ) from error

    async def _begin(self, wanted: Wanted) -> asyncio.subprocess.Process:
        if await self.kind() == "podman":
            return await self._spawn(*podman_run(wanted))
        # docker starts what it runs elsewhere: the client only waits, and what it says comes before.
        volumes = await self._volumes(wanted.image)
        await self._done(*docker_create(wanted, volumes))
        if volumes:
            await self._require_no_volumes(wanted.name)
        await self._done("start", wanted.name)
        return await self._spawn("wait", wanted.name)

    async def names(self, prefix: str) -> list[str]:
        """Return the containers whose names begin so; none where the engine does not answer."""
        try:
            code, told = await self.ask(
                "ps", "--all", "--filter", f"name=^{prefix}", "--format", "{{.Names}}"
            )
        except OSError:
            return []
        return told.split() if code == 0 else []

    async def remove(self, name: str) -> None:
        """End a container and remove it, where there is one; what stays is told, and the next worker's."""
        try:
            code, told = await self.ask(*removal(await self.kind(), name))
            # docker minds that it is gone already.
            if code == 0 or "no such container" in told.lower():
                return
        except OSError as error:
            told = error.strerror or str(error)
        get_logger("minoots.sandboxes").error(
            "sandbox.left_behind",
            tier=Tier.CONTAINER.value,
            what=[f"container {name}"],
            reason=told[-300:],
            remedy=f"{self.binary} rm --force {name}; the next worker that starts does so, too.",
        )

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(),
            # Signals for the worker's terminal are none for its containers.
            start_new_session=True,
        )

    async def _done(self, *arguments: str) -> str:
        code, told = await self.ask(*arguments)
        if code != 0:
            raise never_started(
                f"the container did not begin: {told[-500:]}",
                f"See whether the image is there ({self.binary} image inspect), and how-to/jobs.md.",
            )
        return told

    async def _volumes(self, image: str) -> tuple[str, ...]:
        """Return the folders that an image wants to be written to."""
        told = await self._done("image", "inspect", "--format", "{{json .Config.Volumes}}", image)
        return tuple(sorted(json.loads(told) or {}))

    async def _require_no_volumes(self, name: str) -> None:
        """Refuse a container that got folders of this machine after all: nothing holds their size."""
        mounts = json.loads(await self._done("inspect", "--format", "{{json .Mounts}}", name)) or ()
        given = [one.get("Destination") for one in mounts if one.get("Type") == "volume"]
        if given:
            named = ", ".join(map(str, given))
            raise never_started(
                f"{self.binary} gives volumes of the image folders without a size: {named}",
                "Choose an image without volumes, or run it by podman.",
            )
