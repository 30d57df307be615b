"""The tier ``container``: the root file system of an image, read-only, by podman or docker.

What a program sees: the files of the image; a working folder, /tmp and /dev/shm in memory, each of a size;
its own processes; no network but a loopback of its own; no capabilities, no way to gain rights, the filter of
system calls of the engine and that of the other sandboxes. The guest and a Python for it are mounted beside.
Only images that settings name are run, by digest, and none is fetched.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import socket
import struct
import tempfile
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import Failure, FailureKind

from . import seccomp
from .carrying import INSIDE, carry, command
from .cgroups import Group, Place
from .channel import Channel
from .engine_words import Wanted
from .engines import ContainerEngine
from .guested import GuestedSandbox
from .names import PREFIX, is_left_behind, name_of
from .port import NeverStarted, Sandbox, Sandboxes, never_started
from .starting import environment, gone_within, interpreter, limits_of, said

_WAY: Final = "/run/minoots"
_USER: Final = 65534
"""``nobody``, inside and, where the worker is root, outside too."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READY_WITHIN: Final = 60.0
"""Seconds: half of one is usual, but a machine may be busy."""
_KILLED: Final = 5.0
"""Seconds in which a client of the engine that was killed is gone."""
_NEEDED: Final = frozenset({"memory", "pids"})


class Containers(Sandboxes):
    """Sandboxes of podman or docker.

    Args:
        place: where control groups can be made; without them there is no limit to what a container takes.
        engine: which of them.
        images: those that may be run, by digest.
    """

    tier = Tier.CONTAINER

    def __init__(self, place: Place | None, engine: ContainerEngine, images: tuple[str, ...] = ()) -> None:
        self._place = place
        self._engine = engine
        self._images = images
        self._carried: Path | None = None
        self._carrying = asyncio.Lock()
        self._works = False
        self._trying = asyncio.Lock()

    async def missing(self) -> tuple[str, ...]:
        """Return what this machine lacks, found out by starting one."""
        lacks = self._lacks()
        if lacks or self._works:
            return lacks
        async with self._trying:
            if self._works:
                return ()
            try:
                sandbox = await self.create("probe", Limits())
            except Failure as failure:
                return (f"{self._engine.binary} starts no container here ({failure.detail})",)
            await sandbox.destroy()
            self._works = True
        return ()

    def _lacks(self) -> tuple[str, ...]:
        lacks = []
        if not self._engine.found():
            lacks.append(f"the program {self._engine.binary} is not installed (apt install podman runc)")
        if not self._images:
            lacks.append("no image is allowed: sandbox.container.images names none")
        if not seccomp.supported():
            lacks.append(f"there is no table of system calls for {os.uname().machine}")
        if self._python() is None:
            lacks.append("there is no Python that the user nobody may read (apt install python3)")
        held = frozenset(self._place.folders) if self._place is not None else frozenset()
        for one in sorted(_NEEDED - held):
            lacks.append(f"control groups that hold {one} cannot be written here")
        return tuple(lacks)

    async def create(self, name: str, limits: Limits, image: str | None = None) -> Sandbox:
        """Return a new sandbox."""
        lacks = self._lacks()
        if lacks or self._place is None:
            raise never_started(
                f"this machine cannot give the tier {self.tier}: {'; '.join(lacks)}",
                "Put right what is missing, or choose another tier.",
            )
        chosen = image or self._images[0]
        if chosen not in self._images:
            raise NeverStarted(
                FailureKind.DENIED,
                f"the image {chosen} may not be used here",
                remedy="Choose another one, or have the operator add it to sandbox.container.images.",
            )
        python = await self._carry()
        group = Group(self._place, name_of(name))
        try:
            group.make(limits)
            return await self._start(name, limits, chosen, python, group)
        except BaseException as error:
            await group.remove()
            if isinstance(error, OSError):
                raise never_started(
                    f"the control group of the sandbox cannot be made: {error.strerror}",
                    "Give the worker control groups that it may write, or choose another tier.",
                ) from error
            raise

    async def remove_left_behind(self) -> int:
        """Remove containers whose worker is no more; return how many there were."""
        if not (self._engine.found() and self._images):
            return 0
        left = [name for name in await self._engine.names(PREFIX) if is_left_behind(name)]
        for name in left:
            await self._engine.remove(name)
        return len(left)

    async def _carry(self) -> Path:
        """Return the folder with a Python for the guest; it is there as long as this worker."""
        async with self._carrying:
            if self._carried is None:
                python = self._python()
                assert python is not None  # noqa: S101 - `missing` has found it
                folder = Path(tempfile.mkdtemp(prefix=f"{name_of('python')}-"))
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                await asyncio.to_thread(carry, python, folder)
                self._carried = folder
            return self._carried

    def _python(self) -> Path | None:
        return interpreter(_USER if os.geteuid() == 0 else None)

    async def _start(self, name: str, limits: Limits, image: str, python: Path, group: Group) -> Sandbox:
        full = name_of(name)
        async with _listening(full) as (folder, listening):
            try:
                process = await self._engine.begin(self._wanted(full, limits, image, python, folder))
            except BaseException:
                await self._engine.remove(full)
                raise
            try:
                sock = await _accepted(listening, process)
            except BaseException:
                await self._undo(full, process)
                raise
        channel = Channel(sock)
        guest = -1
        try:
            pid = _peer(sock)
            if pid <= 0:
                raise never_started(
                    f"{self._engine.binary} runs containers where this worker sees no processes",
                    "Run the worker on the engine's own machine, outside of a container.",
                )
            # By descriptor: a number may be another's by the time that it is used.
            guest = os.pidfd_open(pid)
            group.add(pid)
            if not await channel.ready(_READY_WITHIN):
                raise never_started("the guest of the container does not answer", "Look at its image.")
        except BaseException:
            channel.close()
            if guest >= 0:
                os.close(guest)
            await self._undo(full, process)
            raise

        held = [guest]

        def kill() -> None:
            # Closed, its number may be another sandbox's by now.
            for one in held:
                signal.pidfd_send_signal(one, signal.SIGKILL)

        async def tidy() -> None:
            while held:
                os.close(held.pop())
            await self._engine.remove(full)

        kind = await self._engine.kind()
        each, held_by = limits_of(limits, group, processes=False)
        return GuestedSandbox(
            self.tier,
            limits,
            {**held_by, "disk": "tmpfs", "image": image, "engine": kind},
            each,
            process,
            channel,
            group,
            environment("/work", _PATH),
            tidy,
            kill,
        )

    def _wanted(self, name: str, limits: Limits, image: str, python: Path, folder: Path) -> Wanted:
        return Wanted(
            name=name,
            image=image,
            size_mb=limits.disk_mb,
            user=_USER,
            files=_limit(resource.RLIMIT_NOFILE, 1024),
            # Of all that is nobody's on this machine; the number of each container is its group's to hold.
            processes=_limit(resource.RLIMIT_NPROC, 16_384),
            folders={INSIDE: python, _WAY: folder},
            entry=tuple(command(f"{_WAY}/guest")),
            as_worker=os.geteuid() != 0,
        )

    async def _undo(self, name: str, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()
        await gone_within(process, _KILLED)
        await self._engine.remove(name)


@asynccontextmanager
async def _listening(name: str) -> AsyncIterator[tuple[Path, socket.socket]]:
    """Yield a folder with a socket in it, on which the guest is waited for. Gone when it has come."""
    # Nobody else of this machine gets through the outer folder; the path of a socket is short.
    outer = Path(tempfile.mkdtemp(prefix=f"{name[:60]}-"))
    try:
        folder = outer / "way"
        folder.mkdir()
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "guest"))
            (folder / "guest").chmod(0o666)
            listening.listen(1)
            listening.setblocking(False)
            yield folder, listening
    finally:
        await asyncio.to_thread(shutil.rmtree, outer, ignore_errors=True)


async def _accepted(listening: socket.socket, process: asyncio.subprocess.Process) -> socket.socket:
    """Return the socket to the guest.

    Raises:
        NeverStarted: the container has ended instead, or does not begin; the error has what the engine said.
    """
    accepting = asyncio.ensure_future(asyncio.get_running_loop().sock_accept(listening))
    ending = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({accepting, ending}, timeout=_READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if accepting.done():
            return accepting.result()[0]
    finally:
        for task in (accepting, ending):
            task.cancel()
        await asyncio.gather(accepting, ending, return_exceptions=True)
    raise never_started(
        f"the container did not begin: {await said(process)}",
        "See whether the image is there (podman image exists), and how-to/jobs.md for what a tier needs.",
    )


def _peer(sock: socket.socket) -> int:
    """Return the number of the process at the other end, as this machine counts."""
    held = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", held)[0]
    return pid


def _limit(which: int, most: int) -> int:
    """Return a limit, never above our own: an engine without all of root's rights could not raise it."""
    hard = resource.getrlimit(which)[1]
    return most if hard == resource.RLIM_INFINITY else min(hard, most)
