"""How long `cancel` takes to stop what hangs, measured where it hangs.

From just before the request is sent until the model's server sees its client go, or the process of the
program or machine is gone; of a whole stack, over HTTP.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dev_stacks
import psutil
from dev_stacks import DevStack
from model_servers import heard, model_server
from receiving_ends import Lasting, machine, model, program, tool, turns

from minoots import AsyncMinoots
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers
from minoots_activities.vms import building
from minoots_activities.vms.faults import ImageFault

from .figures import quantile

_TIMES: Final = 20
_MACHINES: Final = 5
_LONGEST: Final = 120.0


@dataclass(frozen=True)
class Stopped:
    """How long it took until something had stopped, in milliseconds.

    Attributes:
        what: was stopped.
        count: how often.
        ended_p50: until its job had ended, as told to a client that waits.
        missing: why it was not measured.
    """

    what: str
    count: int = 0
    p50: float = 0.0
    worst: float = 0.0
    ended_p50: float = 0.0
    missing: str = ""


async def measure() -> tuple[Stopped, ...]:
    """Have each hang and cancel it, again and again."""
    second = f"3604.{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        image, settings = Path(folder, "vm-image"), Path(folder, "minoots.toml")
        try:
            await asyncio.to_thread(building.build, image)
            no_machines = ""
        except ImageFault as fault:
            no_machines = str(fault)
        no_sandboxes = "; ".join(await Tiers(vm_image=image)._given[Tier.BUBBLEWRAP].missing())
        async with model_server(turns=turns(second)) as url:
            text = f'[models]\nproviders = ["ollama={url}"]\n[sandbox]\nvm_image = "{image}"\n'
            await asyncio.to_thread(settings.write_text, text)
            stack = await asyncio.to_thread(dev_stacks.start, Path(folder))
            try:
                return await _all(stack, url, second, no_sandboxes, no_machines)
            finally:
                await asyncio.to_thread(stack.stop)
                stack.close()


async def _all(
    stack: DevStack, url: str, second: str, no_sandboxes: str, no_machines: str
) -> tuple[Stopped, ...]:
    async def asker_gone() -> float:
        while True:
            ended = [one["ended_at"] for one in await heard(url)]
            if None not in ended:
                return max(ended)
            await asyncio.sleep(0.02)

    async with AsyncMinoots(stack.url, timeout=60) as client:
        calls = await _measure(client, "a model call", model(url), _TIMES, asker_gone)
        found = [calls]
        first = f"3603.{os.getpid()}"
        for what, lasting, times, missing in (
            ("a program in bubblewrap", program(first), _TIMES, no_sandboxes),
            ("a command of an agent, in bubblewrap", tool(second), _TIMES, no_sandboxes),
            ("a machine", machine(stack), _MACHINES, no_machines),
        ):
            if missing:
                found.append(Stopped(what, missing=missing))
            else:
                found.append(await _measure(client, what, lasting, times))
    return tuple(found)


async def _measure(
    client: AsyncMinoots,
    what: str,
    lasting: Lasting,
    times: int,
    gone: Callable[[], Awaitable[float]] | None = None,
) -> Stopped:
    stopped, ended = [], []
    for _ in range(times):
        job = await lasting.start(client)
        running = await asyncio.to_thread(lasting.here)
        waiting = asyncio.create_task(gone() if gone is not None else asyncio.to_thread(_gone, running))
        # It has to be looking already when the request is sent.
        await asyncio.sleep(0.05)
        began = time.time()
        await client.jobs.cancel(job.id)
        await client.jobs.wait(job.id, timeout=_LONGEST)
        ended.append((time.time() - began) * 1000)
        stopped.append((await waiting - began) * 1000)
    stopped.sort()
    ended.sort()
    return Stopped(what, times, quantile(stopped, 0.5), stopped[-1], quantile(ended, 0.5))


def _gone(processes: list[psutil.Process]) -> float:
    """Return when the last of these processes was seen to have ended, some hundredths of a second later."""
    if not processes:
        raise RuntimeError("expected processes that run for the job; there are none")
    _, alive = psutil.wait_procs(processes, timeout=_LONGEST)
    if alive:
        raise RuntimeError(f"still running: {alive}")
    return time.time()
