"""Starting a machine the quickest way that works: from a kept state, else by letting it come up.

A state that no machine goes on from is removed, and told in the log; the machine then comes up by itself.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from qemu.qmp import QMPClient

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import NeverStarted, never_started

from . import qemu
from .accelerators import Accelerator, Chosen
from .engines import Engine, Started
from .faults import ImageFault
from .guest import VERSION
from .images import Image, load
from .states import States

Start = Literal["booted", "restored"]


class Qemu(Engine):
    """Machines of QEMU.

    Args:
        image: the folder of the image.
        binary: QEMU.
        states: where states of machines are kept, from which others go on; by default none are.
    """

    def __init__(self, image: Path, binary: str = qemu.BINARY, states: States | None = None) -> None:
        self.image = image
        self._binary = binary
        self._states = states
        self.chosen = Chosen()

    async def missing(self) -> tuple[str, ...]:
        """Return what this host lacks."""
        lacks = []
        for look in (self._host, self._image):
            try:
                await asyncio.to_thread(look)
            except ImageFault as fault:
                lacks.append(str(fault))
        return tuple(lacks)

    async def start(self, limits: Limits, folder: Path, root: Path | None = None) -> Started:
        """Return a machine that has begun."""
        try:
            host = self._host()
            image = await asyncio.to_thread(self._image)
        except ImageFault as fault:
            raise never_started(fault.detail, fault.remedy) from fault
        accelerator = await self.chosen.get(host, image)
        machine, start = await started(host, image, accelerator, limits, folder, self._states, root)
        return Started(machine, {"accelerator": accelerator.name, "start": start})

    def _host(self) -> qemu.Host:
        return qemu.Host.find(self._binary)

    def _image(self) -> Image:
        return load(self.image, VERSION)


async def started(
    host: qemu.Host,
    image: Image,
    accelerator: Accelerator,
    limits: Limits,
    folder: Path,
    states: States | None,
    root: Path | None = None,
) -> tuple[qemu.Machine, Start]:
    """Return a machine that has begun, and how it came to be.

    Args:
        host: what runs it.
        image: what it comes up from.
        accelerator: by which it runs.
        limits: of its programs together.
        folder: an empty folder of its own.
        states: where states are kept; the first machine of its kind leaves one there.
        root: the file of a second disk.

    Raises:
        NeverStarted: it did not come up.
    """
    how = (host, image, accelerator.name, limits, folder, accelerator.patience)
    if states is None:
        return await qemu.boot(*how, root=root), "booted"
    kind = qemu.kind_of(host, image, accelerator.name, limits, root=root is not None)
    kept = states

    async def keep(monitor: QMPClient) -> None:
        await kept.keep(kind, monitor)

    state = await asyncio.to_thread(states.find, kind)
    if state is not None:
        try:
            return await qemu.boot(*how, root=root, state=state), "restored"
        except (NeverStarted, FileNotFoundError) as error:
            why = error.detail if isinstance(error, NeverStarted) else "it was removed meanwhile"
            await asyncio.to_thread(states.drop, kind, why)
    return await qemu.boot(*how, root=root, came_up=keep), "booted"


async def tried_by(engine: Engine) -> tuple[float, Mapping[str, str]]:
    """Start a machine of the usual size and end it.

    Returns:
        Milliseconds until it had begun, and what a result would say of it.

    Raises:
        NeverStarted: it did not come up.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="minoots-vm-") as folder:
        start = await engine.start(Limits(), Path(folder))
        took = (time.monotonic() - began) * 1000
        await start.machine.end()
    return took, start.held_by


async def tried(host: qemu.Host, image: Image, accelerator: Accelerator, states: States) -> float | None:
    """Start machines of the usual size until one goes on from a kept state.

    Returns:
        Milliseconds until that one had begun; ``None`` where no state is kept.

    Raises:
        NeverStarted: one did not come up.
    """
    for _ in range(2):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="minoots-vm-") as folder:
            machine, start = await started(host, image, accelerator, Limits(), Path(folder), states)
            took = (time.monotonic() - began) * 1000
            await machine.end()
        if start == "restored":
            return took
    return None
