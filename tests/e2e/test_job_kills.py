"""kill -9 of the worker in the middle of a job: it ends right, tells everything once, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from dev_stacks import DevStack
from job_kills import kill_worker, sleepers, written
from model_servers import heard, model_server
from stacks import eventually

from minoots import AsyncMinoots, JobState
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = pytest.mark.e2e

Start = Callable[..., DevStack]
PATIENT = 120


async def test_kill_9_in_the_middle_of_a_model_call(dev_stack: Start, tmp_path: Path) -> None:
    # Slow as long as the worker lives: a busy machine may miss its signs of life, and begin another attempt.
    slow = {"when": "tea", "text": "never finished " * 1000, "pace": 0.05}
    async with AsyncExitStack() as one_after_the_other:
        url = await one_after_the_other.enter_async_context(model_server(turns=[slow]))
        (tmp_path / "minoots.toml").write_text(f'[models]\nproviders = ["ollama={url}"]\n')
        stack = await asyncio.to_thread(dev_stack)
        client = await one_after_the_other.enter_async_context(AsyncMinoots(stack.url))
        job = await client.jobs.submit(prompt="tea?")
        await eventually(lambda: written(client, job.id), lambda text: "never" in text, PATIENT)
        await kill_worker(stack)
    port = int(url.rpartition(":")[2])
    async with (
        model_server(port=port, turns=[{"when": "tea", "text": "Boil water."}]),
        AsyncMinoots(stack.url) as client,
    ):
        done = await client.jobs.wait(job.id, timeout=PATIENT)
        assert done.state is JobState.SUCCEEDED, done
        assert done.attempt >= 2
        assert await written(client, job.id) == "Boil water."
        assert sorted([one.name async for one in client.jobs.artifacts(job.id)]) == [
            "answer.json",
            "answer.txt",
        ]
        types = [event.type async for event in client.jobs.events(job.id)]
        assert (types.count("result"), types.count("error")) == (1, 0)
        assert await heard(url), "by the second server"


async def test_kill_9_in_the_middle_of_a_program_in_a_sandbox(dev_stack: Start) -> None:
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    stack = await asyncio.to_thread(dev_stack)
    seconds = f"3.{os.getpid()}"
    async with AsyncMinoots(stack.url) as client:
        job = await client.jobs.submit(
            command=f"echo one; echo x >> out.txt; sleep {seconds}; echo two", outputs=["out.txt"]
        )
        await eventually(lambda: written(client, job.id), lambda text: "one" in text, PATIENT)
        left = await asyncio.to_thread(sleepers, seconds)
        await kill_worker(stack)
        _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
        assert alive == [], "the sandbox of the dead worker is gone"
        done = await client.jobs.wait(job.id, timeout=PATIENT)
        assert done.state is JobState.SUCCEEDED, done
        assert await written(client, job.id) == "one\ntwo\n"
        made = {one.name: one async for one in client.jobs.artifacts(job.id)}
        assert await client.jobs.download(made["out.txt"]) == b"x\n", "in a new folder"
        assert await client.jobs.download(made["stdout"]) == b"one\ntwo\n"


async def test_kill_9_in_the_middle_of_a_program_that_may_not_run_twice(
    dev_stack: Start, tmp_path: Path
) -> None:
    (tmp_path / "minoots.toml").write_text("[sandbox]\nallow_process = true\n")
    stack = await asyncio.to_thread(dev_stack)
    effects = tmp_path / "effects"
    seconds = f"601.{os.getpid()}"
    async with AsyncMinoots(stack.url) as client:
        job = await client.jobs.submit(
            command=f"echo x >> {effects}; echo one; sleep {seconds}", tier="process", limits={"time": "1h"}
        )
        await eventually(lambda: written(client, job.id), lambda text: "one" in text, PATIENT)
        left = await asyncio.to_thread(sleepers, seconds)
        await kill_worker(stack)
        done = await client.jobs.wait(job.id, timeout=PATIENT)
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert "nobody knows" in done.problem.detail
        assert effects.read_text() == "x\n", "nothing twice"
        _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
        assert alive == []
