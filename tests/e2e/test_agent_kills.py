"""kill -9 of the worker at the steps of an agent: the same is said in the end, and nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from agents_at_work import call, script
from dev_stacks import DevStack
from job_kills import kill_worker, sleepers, written
from model_servers import heard, model_server
from stacks import eventually

from minoots import AsyncMinoots, JobState
from minoots.contracts import JobDetail
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Start = Callable[..., DevStack]
PATIENT = 120


@pytest.fixture
async def shut_in() -> None:
    """Where nothing can be shut in, what a dead worker has run may have done anything."""
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))


async def conversation(client: AsyncMinoots, job_id: str) -> list[str]:
    """All that was said, line by line."""
    made = {one.name: one async for one in client.jobs.artifacts(job_id)}
    return (await client.jobs.download(made["conversation.jsonl"])).decode().splitlines()


def watching(client: AsyncMinoots, job_id: str) -> Callable[[], Any]:
    """Return what looks at a job."""

    async def look() -> JobDetail:
        return await client.jobs.get(job_id)

    return look


async def test_kill_9_in_a_model_call_and_in_a_command(
    dev_stack: Start, tmp_path: Path, shut_in: None
) -> None:
    seconds = f"2.{os.getpid()}"
    command = f"echo x >> log.txt; echo begun; sleep {seconds}; echo through"
    answers = script(
        {"text": "thinking " * 40, "pace": 0.05, "tool_calls": [call("run", command=command)]},
        call("run", command="cat log.txt"),
        "It says: {last}",
    )
    async with model_server(turns=answers) as url:
        (tmp_path / "minoots.toml").write_text(f'[models]\nproviders = ["ollama={url}"]\n')
        stack = await asyncio.to_thread(dev_stack)
        async with AsyncMinoots(stack.url) as client:
            job = await client.jobs.submit(task="go")
            await eventually(lambda: written(client, job.id), lambda text: "thinking" in text, PATIENT)
            await kill_worker(stack)
            await eventually(lambda: written(client, job.id), lambda text: "begun" in text, PATIENT)
            left = await asyncio.to_thread(sleepers, seconds)
            await kill_worker(stack)
            _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
            assert alive == [], "the sandbox of the dead worker is gone"
            done = await client.jobs.wait(job.id, timeout=PATIENT)
            assert done.state is JobState.SUCCEEDED, done
            disturbed = await conversation(client, job.id)
            assert 'exit code 0\\nx"' in disturbed[-2], "the file has what one run wrote"
            assert len(disturbed) == 7
            assert (await written(client, job.id)).count("begun") == 1, "a reader drops what was void"
            asked = len(await heard(url))
            assert asked == 4, "the answer that was cut off was asked for again, and no other"
            again = await client.jobs.submit(task="go")
            assert (await client.jobs.wait(again.id, timeout=PATIENT)).state is JobState.SUCCEEDED
            assert await conversation(client, again.id) == disturbed, "as if nobody had been killed"


async def test_kill_9_while_an_agent_waits_for_leave_and_while_it_sleeps(
    dev_stack: Start, tmp_path: Path, shut_in: None
) -> None:
    answers = script(
        call("write_file", path="a.txt", text="one\n"), call("sleep", seconds=3), call("list_files"), "done"
    )
    tools = [{"name": "write_file", "approval": "always"}, {"name": "sleep"}, {"name": "list_files"}]
    async with model_server(turns=answers) as url:
        (tmp_path / "minoots.toml").write_text(f'[models]\nproviders = ["ollama={url}"]\n')
        stack = await asyncio.to_thread(dev_stack)
        async with AsyncMinoots(stack.url) as client:
            job = await client.jobs.submit(task="go", tools=tools)
            look = watching(client, job.id)
            await eventually(look, lambda found: bool(found.agent and found.agent.awaiting), PATIENT)
            await kill_worker(stack)
            await client.jobs.approve(job.id, 1)
            await eventually(look, lambda found: bool(found.agent and found.agent.wakes_at), PATIENT)
            for part in ("temporal", "worker-jobs"):
                os.kill(await asyncio.to_thread(stack.pid, part), signal.SIGKILL)
            done = await client.jobs.wait(job.id, timeout=PATIENT)
            assert done.state is JobState.SUCCEEDED, done
            said = await conversation(client, job.id)
            assert len(said) == 9
            assert "wrote a.txt: 4 bytes" in said[3]
            assert "3 seconds have passed" in said[5]
            assert "a.txt\\t4" in said[7]
        assert len(await heard(url)) == 4
