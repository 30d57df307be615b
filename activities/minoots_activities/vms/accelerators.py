"""Which accelerator runs machines here, found by starting one: a device that exists may still not work.

The outcome stands in every result, so that a slow machine explains itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import NeverStarted, never_started

from .images import Image
from .qemu import Host, boot

KVM_DEVICE: Final = Path("/dev/kvm")
_WITHIN: Final = {"kvm": 8.0, "hvf": 8.0, "tcg": 60.0}
"""Seconds for a first start: with an accelerator it takes well under one, without about two."""
_SMALL: Final = Limits(memory_mb=64, disk_mb=8)


@dataclass(frozen=True)
class Accelerator:
    """What runs machines on this host.

    Attributes:
        name: ``kvm``, ``hvf`` or ``tcg``.
        boot_ms: from the start of QEMU to the first word of the guest, when it was tried.
        refused: why each faster one is not used.
    """

    name: str
    boot_ms: float
    refused: dict[str, str]

    @property
    def patience(self) -> float:
        """Seconds in which a machine has to be there."""
        return max(_WITHIN[self.name], 10 * self.boot_ms / 1000)


async def choose(host: Host, image: Image) -> Accelerator:
    """Return the fastest accelerator with which a machine really starts.

    Raises:
        NeverStarted: there is none; the error says why for each.
    """
    refused: dict[str, str] = {}
    for name in candidates():
        if name == "kvm" and not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
            refused[name] = f"{KVM_DEVICE} is not there, or not for this user"
            continue
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="minoots-vm-") as folder:
                machine = await boot(host, image, name, _SMALL, Path(folder), _WITHIN[name])
                took = (time.monotonic() - began) * 1000
                await machine.end()
        except NeverStarted as error:
            refused[name] = error.detail
            continue
        return Accelerator(name, took, refused)
    told = "; ".join(f"{name}: {why}" for name, why in refused.items())
    raise never_started(f"no machine can be started here: {told}", "See how-to/machines.md.")


def candidates() -> tuple[str, ...]:
    """Return the accelerators to try on this kind of machine, the fastest first."""
    return ("hvf", "tcg") if sys.platform == "darwin" else ("kvm", "tcg")


class Chosen:
    """The accelerator of this process: tried once, when a machine is first wanted."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._found: Accelerator | None = None

    async def get(self, host: Host, image: Image) -> Accelerator:
        """Return it.

        Raises:
            NeverStarted: no machine can be started here; it is tried again next time.
        """
        async with self._lock:
            if self._found is None:
                self._found = await choose(host, image)
            return self._found
