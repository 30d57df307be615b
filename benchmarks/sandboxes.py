"""How long a sandbox of each tier takes from being asked for to being there, and to having run a program.

By the worker's own parts, one after the other, and of a whole stack over HTTP. Those of bubblewrap as a job
meets them that comes a moment after the last one, when the next is ready; without a pause; with none ready.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import dev_stacks
from container_images import made_image
from dev_stacks import DevStack

from minoots import AsyncMinoots
from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.port import Program
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.vms import building
from minoots_activities.vms.faults import ImageFault
from minoots_activities.vms.starting import Qemu
from minoots_activities.vms.states import States

from .figures import quantile

_TIMES = {Tier.PROCESS: 100, Tier.CONTAINER: 15}
_OFTEN = 100
_OVER_HTTP = 40
_READY = 2
"""As settings have it by default."""
_PAUSE = 0.5
"""Seconds between two that are ready: a model takes longer to think."""
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
        found[1:1] = await _bubblewrap(vm_image)
        found.append(await _measure(tiers, Tier.VM, _MACHINES, "vm, without a kept state"))
        keeping = Tiers(
            vm_image=vm_image, machines=Qemu(vm_image, states=States(Path(folder, "vm-states"), 1))
        )
        found.append(await _measure(keeping, Tier.VM, _MACHINES, "vm"))
        if not found[1].missing:
            found += await _over_http(Path(folder))
        return tuple(found)


async def _bubblewrap(vm_image: Path) -> list[Started]:
    """Start those that are ready, and others in the same run."""
    found = []
    for name, ready, pause in (
        ("bubblewrap", _READY, _PAUSE),
        ("bubblewrap, without a pause", _READY, 0.0),
        ("bubblewrap, none ready", 0, 0.0),
    ):
        tiers = Tiers(vm_image=vm_image, ready=ready)
        try:
            found.append(await _measure(tiers, Tier.BUBBLEWRAP, _OFTEN, name, pause))
        finally:
            await tiers.aclose()
    return found


async def _over_http(folder: Path) -> list[Started]:
    """Open sandboxes of two whole stacks by turns: from before the request to the answer that it is open."""
    found: list[tuple[str, AsyncMinoots, list[float], list[float]]] = []
    async with AsyncExitStack() as running:
        for name, ready in (("bubblewrap, over HTTP", _READY), ("bubblewrap, over HTTP, none ready", 0)):
            stack = await asyncio.to_thread(_stack, folder / f"stack-{ready}", ready)
            running.callback(stack.close)
            running.push_async_callback(asyncio.to_thread, stack.stop)
            client = await running.enter_async_context(AsyncMinoots(stack.url, timeout=60))
            found.append((name, client, [], []))
        for turn in range(_OVER_HTTP + 1):
            for _, client, opened, ran in found:
                there, done = await _opened(client)
                if turn:
                    opened.append(there)
                    ran.append(done)
                await asyncio.sleep(_PAUSE)
    return [
        Started(
            name, quantile(sorted(opened), 0.5), quantile(sorted(opened), 0.95), quantile(sorted(ran), 0.5)
        )
        for name, _, opened, ran in found
    ]


def _stack(folder: Path, ready: int) -> DevStack:
    folder.mkdir()
    Path(folder, "minoots.toml").write_text(f"[sandbox]\nready = {ready}\n")
    return dev_stacks.start(folder)


async def _opened(client: AsyncMinoots) -> tuple[float, float]:
    """Open a sandbox, run a job in it and close it; return when each had happened, in milliseconds."""
    began = time.perf_counter()
    box = await client.sandboxes.open(tier="bubblewrap", limits={"memory_mb": 64, "disk_mb": 16}, wait=60)
    there = time.perf_counter()
    job = await client.jobs.submit(command="true", sandbox=box.id)
    await client.jobs.wait(job.id, timeout=60)
    done = time.perf_counter()
    await client.sandboxes.close(box.id, wait=60)
    return (there - began) * 1000, (done - began) * 1000


async def _measure(tiers: Tiers, tier: Tier, count: int, name: str, pause: float = 0.0) -> Started:
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
        await asyncio.sleep(pause)
        if turn:
            starts.append((there - began) * 1000)
            runs.append((ran - began) * 1000)
    held = held_by.get("accelerator", held_by["memory"])
    starts.sort()
    runs.sort()
    return Started(name, quantile(starts, 0.5), quantile(starts, 0.95), quantile(runs, 0.5), held)
