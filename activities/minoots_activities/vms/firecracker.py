"""Firecracker as a second way to run the machines of QEMU: the same kernel, first file system and guest.

Owns its process, from the start to the end. It takes KVM and is chosen by a setting, never by itself. It was
written against its published API and has **not been exercised on real hardware**; results and
`minoots vm check` say so.
"""

from __future__ import annotations

import asyncio
import math
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from minoots.contracts.sandboxes import Limits
from minoots.errors import FailureKind
from minoots_activities.sandboxes.port import NeverStarted, never_started

from . import disks, programs
from .accelerators import KVM_DEVICE
from .console import Console
from .engines import KERNEL_MB, Engine, Started, own
from .faults import ImageFault
from .firecracker_api import HOST_PORT, Api, Refused, requests
from .frames import ProtocolError
from .guest import VERSION, Guest, greeted
from .images import Image, load

BINARY: Final = "firecracker"
UNTRIED: Final = "not exercised on real hardware"
BOOT_LINE: Final = (
    "console=ttyS0 quiet panic=-1 random.trust_cpu=on minoots_port=vsock "
    # It has no switch for the power: a machine ends by the reset of a keyboard that is not there else.
    "reboot=k i8042.noaux i8042.nomux i8042.dumbkbd"
)
_MOST_PROCESSORS: Final = 32
_WITHIN: Final = 30.0
"""Seconds until the guest has to have begun: with KVM it takes well under one."""
_SHOWN: Final = 2000

_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Firecracker(Engine):
    """Machines of Firecracker.

    Args:
        image: the folder of the image; it has to have the kernel unpacked.
        binary: Firecracker, 1.8 or newer: it describes its devices by ACPI, as Debian's kernel expects.
        device: that of KVM.
        within: seconds in which a machine has to have begun.
    """

    def __init__(
        self, image: Path, binary: str = BINARY, device: Path = KVM_DEVICE, within: float = _WITHIN
    ) -> None:
        self.image = image
        self._binary = binary
        self._device = device
        self._within = within

    async def missing(self) -> tuple[str, ...]:
        """Return what this host lacks."""
        lacks = []
        for look in (self._programs, self._image):
            try:
                await asyncio.to_thread(look)
            except ImageFault as fault:
                lacks.append(str(fault))
        if not os.access(self._device, os.R_OK | os.W_OK):
            lacks.append(f"{self._device} is not there, or not for this user: Firecracker takes KVM")
        return tuple(lacks)

    async def start(self, limits: Limits, folder: Path, root: Path | None = None) -> Started:
        """Return a machine that has begun."""
        lacks = await self.missing()
        if lacks:
            raise never_started(
                "; ".join(lacks).rstrip("."), "Put that right, or set sandbox.vm_engine to qemu."
            )
        processors = math.ceil(limits.cpus)
        if processors > _MOST_PROCESSORS:
            raise NeverStarted(
                FailureKind.INVALID,
                f"limits.cpus is {limits.cpus:g}, and Firecracker gives no more than {_MOST_PROCESSORS}",
                remedy="Ask for less.",
            )
        machine = await _boot(self._programs(), self._image(), limits, folder, self._within, root)
        about = f"firecracker {machine.version} ({UNTRIED})"
        return Started(machine, {"accelerator": "kvm", "start": "booted", "engine": about})

    def _programs(self) -> dict[str, str]:
        found = programs.find({self._binary: "a release of Firecracker", **disks.MKFS})
        return {"firecracker": found[self._binary], "mkfs": found["mkfs.ext4"]}

    def _image(self) -> Image:
        image = load(self.image, VERSION)
        if image.unpacked_kernel is None:
            raise ImageFault(
                f"the image in {self.image} has no unpacked kernel, which Firecracker starts",
                "Build it with that: minoots vm build-image --unpacked-kernel",
            )
        return image


@dataclass
class Machine:
    """A machine that runs, from when it has begun."""

    process: asyncio.subprocess.Process
    guest: Guest
    console: Console
    version: str
    _errors: asyncio.Task[bytes] = field(repr=False)

    async def end(self) -> None:
        """End it; nothing of it runs when this returns. May be called again."""
        self.guest.close()
        await programs.end(self.process)
        await self.console.end()
        await _settled(self._errors)


async def _boot(
    found: dict[str, str],
    image: Image,
    limits: Limits,
    folder: Path,
    within: float,
    root: Path | None,
) -> Machine:
    disk, way, api = folder / "disk", folder / "v.sock", folder / "api.sock"
    await disks.make(found["mkfs"], disk, limits)
    door = await _Door.open(Path(f"{way}_{HOST_PORT}"))
    try:
        process = await programs.start([found["firecracker"], "--api-sock", str(api), "--id", "minoots"])
    except BaseException:
        await door.close()
        raise
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - pipes
    # Its standard output is the machine's console.
    console = Console(process.stdout)
    errors = asyncio.create_task(_tail(process.stderr), name="what Firecracker says")
    ends: _Ends | None = None
    try:
        async with asyncio.timeout(within):
            await _listens(api, process)
            async with Api(api) as asking:
                version = await asking.version()
                for request in requests(
                    kernel=image.unpacked_kernel or image.kernel,
                    initramfs=image.initramfs,
                    boot_line=BOOT_LINE,
                    memory_mb=limits.memory_mb + KERNEL_MB,
                    processors=math.ceil(limits.cpus),
                    disk=disk,
                    way=way,
                    root=root,
                ):
                    await asking.put(request)
            ends = await door.first(process)
            # Programs in the machine could knock as well: nobody else is let in.
            await door.close()
            guest = (
                await Guest.begin(*ends, own(limits, root=root is not None))
                if await greeted(ends[0])
                else None
            )
            if guest is None:
                raise Refused("the machine ended before it had begun")
        return Machine(process, guest, console, version, errors)
    except BaseException as error:
        if ends is not None:
            ends[1].close()
        await programs.end(process)
        await console.end()
        said = await _settled(errors)
        if isinstance(error, TimeoutError | ProtocolError | Refused):
            words = f"{error}" or f"it did not answer within {within:g} s"
            raise _failed(words, said, console) from error
        raise
    finally:
        await door.close()


class _Door:
    """Where the guest of one machine comes to; closed as soon as it has come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._came: asyncio.Future[_Ends] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None
        self._taken = False

    @classmethod
    async def open(cls, path: Path) -> _Door:
        door = cls(path)
        door._server = await asyncio.start_unix_server(door._knock, path)
        return door

    async def first(self, process: asyncio.subprocess.Process) -> _Ends:
        """Return the way to the guest.

        Raises:
            Refused: the machine ended before it came.
        """
        ending = asyncio.create_task(process.wait())
        try:
            both: list[asyncio.Future[Any]] = [self._came, ending]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not self._came.done():
                raise Refused("the machine ended before its guest had come")
            self._taken = True
            return self._came.result()
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    async def close(self) -> None:
        """Let nobody else in; who has come and was not let in goes."""
        if self._came.done() and not self._came.cancelled() and not self._taken:
            self._came.result()[1].close()
        self._came.cancel()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._path.unlink(missing_ok=True)

    def _knock(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._came.done():
            writer.close()
        else:
            self._came.set_result((reader, writer))


async def _listens(api: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until Firecracker takes requests.

    Raises:
        Refused: it ended before.
    """
    while True:
        with suppress(FileNotFoundError, ConnectionRefusedError):
            _, writer = await asyncio.open_unix_connection(api)
            writer.close()
            return
        if process.returncode is not None:
            raise Refused(f"it ended with {process.returncode} before it took requests")
        await asyncio.sleep(0.005)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """Return the end of what a stream had, when it is over; all of it is taken."""
    kept = b""
    while data := await stream.read(65536):
        kept = (kept + data)[-_SHOWN:]
    return kept


async def _settled(errors: asyncio.Task[bytes]) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            return (await asyncio.shield(errors)).decode(errors="replace").strip()
    errors.cancel()
    return ""


def _failed(words: str, said: str, console: Console) -> NeverStarted:
    last = console.text(_SHOWN).strip()
    told = (f"; it said: {said}" if said else "") + (f"; its console ends: {last}" if last else "")
    return never_started(
        f"the machine did not start by Firecracker: {words}{told}",
        "See what this host has: minoots vm check; or set sandbox.vm_engine to qemu.",
    )
