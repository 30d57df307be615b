"""kill -9 at every step of an agent and at random: always the same conversation, and each effect once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from agents_at_work import call, script
from dev_stacks import DevStack
from job_kills import sleepers, written
from model_servers import model_server
from stacks import eventually

from minoots import AsyncMinoots, Conflict, JobState, MinootsError
from minoots.contracts import JobDetail
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(400)]

Start = Callable[..., DevStack]
PATIENT = 180
PARTS = ("worker-jobs", "worker-core", "worker-io", "gateway", "temporal")
PACED: Any = {"text": "I think " * 20, "pace": 0.03}
LONG, SHORT = f"1.5{os.getpid()}", f"1.0{os.getpid()}"
"""Seconds that no other test's programs sleep."""
ANSWERS = script(
    {
        **PACED,
        "tool_calls": [call("run", command=f"echo x >> log.txt; echo first; sleep {LONG}; cat log.txt")],
    },
    [call("write_file", path="a.txt", text="a\n"), call("sleep", seconds=5)],
    {**PACED, "tool_calls": [call("edit_file", path="a.txt", old="a", new="b")]},
    call("run", command=f"echo x >> log.txt; echo second; sleep {SHORT}; cat log.txt a.txt"),
    "done",
)
TOOLS = [
    {"name": "run"},
    {"name": "write_file", "approval": "always"},
    {"name": "edit_file"},
    {"name": "sleep"},
]
TOLD = [
    "exit code 0\nfirst\nx",
    "wrote a.txt: 2 bytes",
    "5 seconds have passed",
    "edited a.txt in 1 place",
    "exit code 0\nsecond\nx\nx\nb",
]


@asynccontextmanager
async def at_work(dev_stack: Start, folder: Path) -> AsyncIterator[tuple[DevStack, AsyncMinoots, str]]:
    """An agent at work: the stack, a client and the job."""
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    async with model_server(turns=ANSWERS) as url:
        (folder / "minoots.toml").write_text(f'[models]\nproviders = ["ollama={url}"]\n')
        stack = await asyncio.to_thread(dev_stack)
        async with AsyncMinoots(stack.url, timeout=60) as client:
            job = await client.jobs.submit(task="go", tools=TOOLS)
            yield stack, client, job.id


async def approving(client: AsyncMinoots, job_id: str) -> None:
    """Say yes to whatever is asked, until nothing more can be."""
    while True:
        try:
            job = await client.jobs.get(job_id)
            if job.state.final:
                return
            for one in job.agent.awaiting if job.agent is not None else ():
                await client.jobs.approve(job_id, one.call)
        except Conflict:
            continue  # the answer to an earlier yes was lost
        except MinootsError:
            pass  # the gateway is away
        await asyncio.sleep(0.1)


async def kill(stack: DevStack, part: str) -> None:
    """Kill a part, unless it is down already."""
    try:
        os.kill(await asyncio.to_thread(stack.pid, part), signal.SIGKILL)
    except (AssertionError, ProcessLookupError):
        return


async def require_the_same(client: AsyncMinoots, job_id: str) -> None:
    """Whatever happened, the agent was told what it would have been told, and everything happened once.

    And nothing of it is left.
    """
    done = await client.jobs.wait(job_id, timeout=PATIENT)
    assert done.state is JobState.SUCCEEDED, done
    made = {one.name: one async for one in client.jobs.artifacts(job_id)}
    lines = (await client.jobs.download(made["conversation.jsonl"])).decode().splitlines()
    said = [json.loads(line) for line in lines]
    assert [one["text"] for one in said if one["role"] == "tool"] == TOLD
    assert [one["role"] for one in said].count("assistant") == len(ANSWERS)
    patch = (await client.jobs.download(made["changes.patch"])).decode()
    assert "+b\n" in patch
    assert patch.count("+x\n") == 2
    read = await written(client, job_id)
    assert (read.count("first"), read.count("second")) == (1, 1)
    left = [one for seconds in (LONG, SHORT) for one in await asyncio.to_thread(sleepers, seconds)]
    _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
    assert alive == []


@pytest.mark.parametrize("part", ["worker-jobs", "worker-core", "temporal"])
@pytest.mark.parametrize("point", ["model", "command", "approval", "sleep"])
async def test_kill_9_at_a_step(dev_stack: Start, tmp_path: Path, point: str, part: str) -> None:
    async with at_work(dev_stack, tmp_path) as (stack, client, job_id):

        async def look() -> JobDetail:
            return await client.jobs.get(job_id)

        async def text() -> str:
            return await written(client, job_id)

        if point == "model":
            await eventually(text, lambda read: "I think" in read, PATIENT)
        elif point == "command":
            await eventually(text, lambda read: "first" in read, PATIENT)
        else:
            await eventually(look, lambda job: bool(job.agent and job.agent.awaiting), PATIENT)
            if point == "sleep":
                asking = await look()
                assert asking.agent is not None
                await client.jobs.approve(job_id, asking.agent.awaiting[0].call)
                await eventually(look, lambda job: bool(job.agent and job.agent.wakes_at), PATIENT)
        await kill(stack, part)
        await approving(client, job_id)
        await require_the_same(client, job_id)


@pytest.mark.parametrize("seed", range(8))
async def test_kill_9_at_random(dev_stack: Start, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with at_work(dev_stack, tmp_path) as (stack, client, job_id):
        yes = asyncio.create_task(approving(client, job_id))
        # Two of each at most: the supervisor takes a part that keeps dying for broken, and stops.
        for part in dice.sample(PARTS * 2, 5):
            await asyncio.sleep(dice.uniform(0.2, 2.5))
            await kill(stack, part)
        await yes
        await require_the_same(client, job_id)
