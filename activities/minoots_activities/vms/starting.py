"""Starting a machine the quickest way that works: from a kept state, else by letting it come up.

A state that no machine goes on from is removed, and told in the log; the machine then comes up by itself.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Literal

from qemu.qmp import QMPClient

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import NeverStarted

from . import qemu
from .accelerators import Accelerator
from .images import Image
from .states import States

Start = Literal["booted", "restored"]


async def started(
    host: qemu.Host,
    image: Image,
    accelerator: Accelerator,
    limits: Limits,
    folder: Path,
    states: States | None,
) -> tuple[qemu.Machine, Start]:
    """Return a machine that has begun, and how it came to be.

    Args:
        host: what runs it.
        image: what it comes up from.
        accelerator: by which it runs.
        limits: of its programs together.
        folder: an empty folder of its own.
        states: where states are kept; the first machine of its kind leaves one there.

    Raises:
        NeverStarted: it did not come up.
    """
    how = (host, image, accelerator.name, limits, folder, accelerator.patience)
    if states is None:
        return await qemu.boot(*how), "booted"
    kind = qemu.kind_of(host, image, accelerator.name, limits)
    kept = states

    async def keep(monitor: QMPClient) -> None:
        await kept.keep(kind, monitor)

    state = await asyncio.to_thread(states.find, kind)
    if state is not None:
        try:
            return await qemu.boot(*how, state=state), "restored"
        except (NeverStarted, FileNotFoundError) as error:
            why = error.detail if isinstance(error, NeverStarted) else "it was removed meanwhile"
            await asyncio.to_thread(states.drop, kind, why)
    return await qemu.boot(*how, came_up=keep), "booted"


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
