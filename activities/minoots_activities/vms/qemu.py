"""QEMU as a process: its command line, its start, and its end.

The one place for its options, each with its reason. A machine has no network at all, no devices but a disk, a
serial port and a source of randomness, and ends when its host does.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias, cast

from qemu.qmp import QMPClient, QMPError

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import NeverStarted, never_started

from . import disks, programs, states
from .console import Console
from .engines import KERNEL_MB, own
from .frames import ProtocolError
from .guest import Guest, connect, greeted
from .images import Image

BINARY: Final = "qemu-system-x86_64"
_SHOWN: Final = 2000
_LISTENS_WITHIN: Final = 20.0

CameUp: TypeAlias = Callable[[QMPClient], Awaitable[None]]


@dataclass(frozen=True)
class Host:
    """What runs machines here: the programs, and how fast they may be.

    Attributes:
        qemu: QEMU.
        mkfs: what makes a file system on a disk.
    """

    qemu: str
    mkfs: str

    @classmethod
    def find(cls, qemu: str = BINARY) -> Host:
        """Return this machine's.

        Raises:
            ImageFault: one of them is missing.
        """
        found = programs.find({qemu: "package qemu-system-x86", **disks.MKFS})
        return cls(found[qemu], found["mkfs.ext4"])


@dataclass
class Machine:
    """A machine that runs, from when its guest has answered."""

    process: asyncio.subprocess.Process
    guest: Guest
    monitor: QMPClient
    console: Console

    async def end(self) -> None:
        """End it; nothing of it runs when this returns. May be called again."""
        self.guest.close()
        await _left(self.monitor)
        await programs.end(self.process)
        await self.console.end()


async def boot(
    host: Host,
    image: Image,
    accelerator: str,
    limits: Limits,
    folder: Path,
    within: float,
    *,
    root: Path | None = None,
    state: Path | None = None,
    came_up: CameUp | None = None,
) -> Machine:
    """Start a machine and wait until it has begun.

    Args:
        host: what runs it.
        image: what it is started from.
        accelerator: ``kvm``, ``hvf`` or ``tcg``.
        limits: of its programs together; it has no more than these.
        folder: an empty folder of its own, with a short path: sockets are made in it.
        within: seconds until its guest has to have answered.
        root: the file of a second disk, which it may only read.
        state: that of another machine, from which it goes on instead of coming up by itself.
        came_up: what is done with a machine that has come up by itself, before it is told what is its own.

    Raises:
        NeverStarted: it did not come up; the error has what it said.
    """
    disk = folder / "disk"
    await disks.make(host.mkfs, disk, limits)
    agent, monitor = folder / "guest.sock", folder / "qmp.sock"
    command = _command(host, image, accelerator, limits, disk, agent, monitor, root)
    process = await _spawn(command, state)
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    console = Console(process.stdout)
    client = QMPClient("machine")
    ways: list[asyncio.StreamWriter] = []
    try:
        async with asyncio.timeout(within):
            reader, writer = await _connected(process, agent)
            ways.append(writer)
            if state is None:
                if not await greeted(reader):
                    raise never_started("the machine did not start", "")
                await _watch(client, monitor, accelerator)
                if came_up is not None:
                    await came_up(client)
            guest = await Guest.begin(reader, writer, own(limits, root=root is not None))
            if guest is None:
                raise never_started("the machine did not start", "")
            if state is not None:
                # Only now: QEMU takes the connection to the guest before it listens for this one.
                await _watch(client, monitor, accelerator)
    except BaseException as error:
        for way in ways:
            way.close()
        await programs.end(process)
        await _left(client)
        await console.end()
        if isinstance(error, TimeoutError | ProtocolError | QMPError):
            said = f"{error}" or f"it did not answer within {within:g} s"
            raise _failed(accelerator, said, console) from error
        if isinstance(error, NeverStarted):
            raise _failed(accelerator, await _said(process), console) from error
        raise
    return Machine(process, guest, client, console)


def kind_of(host: Host, image: Image, accelerator: str, limits: Limits, *, root: bool = False) -> states.Kind:
    """Return which states fit a machine; whatever is on its second disk, for it has not been read yet."""
    nowhere = Path("/")
    other = nowhere if root else None
    # Wherever the image is, and by whatever way somebody names its folder: its digest tells it from others.
    anywhere = replace(image, folder=nowhere)
    command = _command(host, anywhere, accelerator, limits, nowhere, nowhere, nowhere, other)
    size = (limits.memory_mb + KERNEL_MB, math.ceil(limits.cpus))
    return states.Kind.of(command, image.digest, accelerator, *size, disks=2 if root else 1)


async def _spawn(command: list[str], state: Path | None) -> asyncio.subprocess.Process:
    """Start QEMU; where there is a state, it inherits the open file."""
    file = None if state is None else os.open(state, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if file is None:
            return await programs.start(command)
        return await programs.start([*command, "-incoming", f"fd:{file}"], inherits=[file])
    finally:
        if file is not None:
            os.close(file)


def _command(
    host: Host,
    image: Image,
    accelerator: str,
    limits: Limits,
    disk: Path,
    agent: Path,
    monitor: Path,
    root: Path | None,
) -> list[str]:
    memory_mb = limits.memory_mb + KERNEL_MB
    boot_line = "console=ttyS0 quiet panic=-1 random.trust_cpu=on"
    return [
        host.qemu,
        # Nothing that is not named here.
        *("-nodefaults", "-no-user-config", "-display", "none", "-parallel", "none"),
        *("-machine", f"q35,accel={accelerator},usb=off,smbus=off,sata=off,graphics=off"),
        *("-cpu", "max" if accelerator == "tcg" else "host"),
        *("-smp", str(math.ceil(limits.cpus)), "-m", str(memory_mb)),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", boot_line),
        # A machine that restarts itself would be another one.
        "-no-reboot",
        # To us, who keep the end of it: a file would grow for as long as somebody in there writes.
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-device", "virtio-serial-pci"),
        # It waits for us: the first word of the guest cannot be lost.
        *("-chardev", f"socket,id=guest,path={agent},server=on,wait=on"),
        *("-device", "virtserialport,chardev=guest,name=minoots"),
        *("-drive", f"file={disk},if=none,id=work,format=raw,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=work"),
        *(_second_disk(root) if root else ()),
        *("-device", "virtio-rng-pci"),
        *("-qmp", f"unix:{monitor},server=on,wait=off"),
        # What a program in the machine could make of QEMU itself may start nothing and become nobody else.
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
    ]


def _second_disk(root: Path) -> list[str]:
    drive = f"file={root},if=none,id=root,format=raw,read-only=on"
    return ["-drive", drive, "-device", "virtio-blk-pci,drive=root"]


async def _watch(client: QMPClient, monitor: Path, accelerator: str) -> None:
    """Make sure that the machine runs by what was asked for: what it is must be true in every result."""
    await client.connect(str(monitor))
    kvm = cast(Mapping[str, bool], await client.execute("query-kvm"))
    if kvm["enabled"] != (accelerator == "kvm"):
        raise ProtocolError(f"QEMU says that KVM is {'on' if kvm['enabled'] else 'off'}")


async def _left(monitor: QMPClient) -> None:
    with suppress(QMPError, EOFError, OSError, asyncio.InvalidStateError):
        await monitor.disconnect()


async def _connected(
    process: asyncio.subprocess.Process, agent: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the way to the guest of a machine that is starting."""
    connection = asyncio.create_task(connect(agent, _LISTENS_WITHIN))
    ending = asyncio.create_task(process.wait())
    try:
        await asyncio.wait([connection, ending], return_when=asyncio.FIRST_COMPLETED)
        ends = connection.result() if connection.done() else None
        if ends is None:
            raise never_started("the machine did not start", "")
        return ends
    finally:
        connection.cancel()
        ending.cancel()
        await asyncio.gather(connection, ending, return_exceptions=True)


def _failed(accelerator: str, said: str, console: Console) -> NeverStarted:
    last = console.text(_SHOWN).strip()
    told = f"; its console ends: {last}" if last else ""
    return never_started(
        f"the machine did not start by {accelerator}: {said}{told}",
        "See what this host has: minoots vm check",
    )


async def _said(process: asyncio.subprocess.Process) -> str:
    if process.stderr is None:
        return "it said nothing"
    lines = (await process.stderr.read(_SHOWN)).decode(errors="replace").splitlines()
    # That it waited for us is no reason to end.
    said = " ".join(line for line in lines if ": info: " not in line).strip()
    return said or f"QEMU ended with {process.returncode}"
