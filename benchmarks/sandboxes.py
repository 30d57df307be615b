"""How long a sandbox of each tier takes from being asked for to being there, and to having run a program."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from container_images import made_image

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.port import Program
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.vms import building
from minoots_activities.vms.faults import ImageFault
from minoots_activities.vms.starting import Qemu
from minoots_activities.vms.states import States

from .figures import quantile

_TIMES = {Tier.PROCESS: 100, Tier.BUBBLEWRAP: 100, Tier.CONTAINER: 15}
_MACHINES = 8
_LIMITS = Limits(memory_mb=64, disk_mb=16, cpus=2)


@dataclass(frozen=True)
class Started:
    """Starts of one tier, in milliseconds.

    Attributes:
        p50: of a start.
        p95: likewise.
        ran_p50: of a start and a program that does nothing.
        held_by: what holds its limits here.
        missing: why there are none.
    """

    tier: str
    p50: float = 0.0
    p95: float = 0.0
    ran_p50: float = 0.0
    held_by: str = ""
    missing: str = ""


async def measure() -> tuple[Started, ...]:
    """Start sandboxes one after the other, of every tier that this machine gives."""
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder, made_image() as image:
        vm_image = Path(folder, "vm-image")
        try:
            building.build(vm_image)
        except ImageFault as fault:
            print(f"no machines: {fault}")
        tiers = Tiers(vm_image=vm_image, allow_process=True, images=() if image is None else (image,))
        found = [await _measure(tiers, tier, count, tier.value) for tier, count in _TIMES.items()]
        found.append(await _measure(tiers, Tier.VM, _MACHINES, "vm, without a kept state"))
        keeping = Tiers(
            vm_image=vm_image, machines=Qemu(vm_image, states=States(Path(folder, "vm-states"), 1))
        )
        found.append(await _measure(keeping, Tier.VM, _MACHINES, "vm"))
        return tuple(found)


async def _measure(tiers: Tiers, tier: Tier, count: int, name: str) -> Started:
    lacks = await tiers._given[tier].missing()
    if lacks:
        return Started(name, missing="; ".join(lacks))
    starts, runs = [], []
    held_by: dict[str, str] = {}

    async def hear(stream: str, data: bytes) -> None:
        raise AssertionError("it writes nothing")

    # The first one finds out what there is and loads it.
    for turn in range(count + 1):
        began = time.perf_counter()
        sandbox = await tiers.create(tier, "bench", _LIMITS)
        there = time.perf_counter()
        try:
            await sandbox.exec(Program(("true",)), hear)
            ran = time.perf_counter()
            held_by = dict(sandbox.held_by)
        finally:
            await sandbox.destroy()
        if turn:
            starts.append((there - began) * 1000)
            runs.append((ran - began) * 1000)
    held = held_by.get("accelerator", held_by["memory"])
    starts.sort()
    runs.sort()
    return Started(name, quantile(starts, 0.5), quantile(starts, 0.95), quantile(runs, 0.5), held)
