"""Cancel, over HTTP and through every process: what would go on for an hour is really stopped.

Looked at from the other end: the model's server sees its client go, the program's process is gone, and so is
the machine. How long that takes is a figure of `python -m benchmarks cancelling`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from dev_stacks import DevStack
from model_servers import model_server
from receiving_ends import Lasting, machine, model, program, tool, turns
from stacks import eventually
from vm_images import image_for, shared_folder

from minoots import AsyncMinoots, JobState
from minoots.contracts import EventType
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Start = Callable[..., DevStack]
PATIENT = 120.0
MUCH_SOONER = timedelta(minutes=5)
"""Each of them would go on for an hour."""


async def require_stopped(client: AsyncMinoots, lasting: Lasting) -> None:
    """Have it begin, cancel it, and look for what is left of it."""
    job = await lasting.start(client)
    running = await asyncio.to_thread(lasting.here)
    if lasting.open is None:
        assert running, "something runs for it"
    else:
        assert await lasting.open() == 1
    assert (await client.jobs.cancel(job.id)).cancel_requested
    done = await client.jobs.wait(job.id, timeout=PATIENT)
    assert done.state is JobState.CANCELLED, done
    assert done.ended_at is not None
    told_of = (await client.events.list(subject=job.id)).items
    asked = [event.time for event in told_of if event.type == EventType.JOB_CANCEL_REQUESTED]
    assert done.ended_at - asked[0] < MUCH_SOONER
    _, alive = await asyncio.to_thread(psutil.wait_procs, running, 30)
    assert alive == []
    assert await asyncio.to_thread(lasting.here) == []
    if lasting.open is not None:
        assert await eventually(lasting.open, lambda left: left == 0, PATIENT) == 0
    told = (await client.jobs.events_now(job.id, after=0)).items
    assert told[-1].data == {"state": "cancelled"}, "nothing is told after the end"


async def test_a_model_call_a_program_and_a_tool_that_hang_are_stopped(
    dev_stack: Start, tmp_path: Path
) -> None:
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    first, second = f"3601.{os.getpid()}", f"3602.{os.getpid()}"
    async with model_server(turns=turns(second)) as url:
        (tmp_path / "minoots.toml").write_text(f'[models]\nproviders = ["ollama={url}"]\n')
        stack = await asyncio.to_thread(dev_stack)
        async with AsyncMinoots(stack.url, timeout=60) as client:
            for lasting in (model(url), program(first), tool(second)):
                await require_stopped(client, lasting)


async def test_a_machine_is_stopped(
    dev_stack: Start, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = await asyncio.to_thread(image_for, shared_folder(tmp_path_factory))
    (tmp_path / "minoots.toml").write_text(f'[sandbox]\nvm_image = "{image}"\n')
    stack = await asyncio.to_thread(dev_stack)
    async with AsyncMinoots(stack.url, timeout=60) as client:
        await require_stopped(client, machine(stack))
