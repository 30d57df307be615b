"""kill -9 under sandboxes: with their worker nothing of them is left, and without Temporal they go on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from dev_stacks import DevStack, run
from job_kills import kill_worker, sleepers, written
from stacks import eventually

from minoots import AsyncMinoots, JobState, Unavailable
from minoots.contracts import CloseReason, SandboxState
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = pytest.mark.e2e

Start = Callable[..., DevStack]
PATIENT = 120
T = TypeVar("T")


async def tier_here(folder: Path) -> str:
    """The strongest tier that any machine has: bubblewrap, or the one for development."""
    if not await Tiers(vm_image=folder)._given[Tier.BUBBLEWRAP].missing():
        return "bubblewrap"
    (folder / "minoots.toml").write_text("[sandbox]\nallow_process = true\n")
    return "process"


async def state_of(client: AsyncMinoots, sandbox_id: str) -> SandboxState:
    """Where a sandbox stands."""
    return (await client.sandboxes.get(sandbox_id)).state


async def test_kill_9_of_the_worker_loses_its_sandboxes_and_leaves_nothing_of_them(
    dev_stack: Start, tmp_path: Path
) -> None:
    tier = await tier_here(tmp_path)
    stack = await asyncio.to_thread(dev_stack)
    seconds = f"602.{os.getpid()}"
    async with AsyncMinoots(stack.url) as client:
        lost = await client.sandboxes.open(tier=tier, limits={"time": "1h"}, wait=PATIENT)
        kept = await client.sandboxes.open(tier=tier, keep=True, wait=PATIENT)
        await client.sandboxes.write(kept.id, "notes", b"kept")
        taken = await client.sandboxes.snapshot(kept.id)
        await client.sandboxes.write(kept.id, "notes", b"not kept")
        running = await client.jobs.submit(command=f"echo one; sleep {seconds}", sandbox=lost.id)
        await eventually(lambda: written(client, running.id), lambda text: "one" in text, PATIENT)
        queued = await client.jobs.submit(command="echo never", sandbox=lost.id)
        left = await asyncio.to_thread(sleepers, seconds)
        assert left
        await kill_worker(stack)
        _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
        assert alive == [], "what the dead worker held is gone"
        await eventually(lambda: state_of(client, lost.id), lambda state: state is SandboxState.LOST, PATIENT)
        for job, outcome, begun in ((running, "unknown", 1), (queued, "never_started", 0)):
            done = await client.jobs.wait(job.id, timeout=PATIENT)
            assert done.state is JobState.FAILED
            assert done.problem is not None
            assert (done.problem.outcome, done.attempt) == (outcome, begun), done
        again = await eventually(
            lambda: client.sandboxes.get(kept.id), lambda found: found.opened == 2, PATIENT
        )
        assert (again.state, again.snapshot) == (SandboxState.OPEN, taken.sha256)
        assert await client.sandboxes.read(kept.id, "notes") == b"kept", "as the last snapshot has it"
        other = await client.sandboxes.open(tier=tier, from_snapshot=taken.sha256, wait=PATIENT)
        assert await client.sandboxes.read(other.id, "notes") == b"kept"


async def reachable(do: Callable[[], Awaitable[T]]) -> T:
    """What comes of something that may be asked for again, once everything is there again."""
    deadline = asyncio.get_running_loop().time() + PATIENT
    while True:
        try:
            return await do()
        except Unavailable:
            assert asyncio.get_running_loop().time() < deadline, "it is still away"
            await asyncio.sleep(0.2)


async def test_kill_9_of_temporal_ends_no_sandbox_and_runs_nothing_twice(
    dev_stack: Start, tmp_path: Path
) -> None:
    tier = await tier_here(tmp_path)
    stack = await asyncio.to_thread(dev_stack)
    script = "echo run >> runs; echo begun; until test -e go; do sleep 0.05; done; echo done"
    async with AsyncMinoots(stack.url) as client:
        idles = await client.sandboxes.open(tier=tier, wait=PATIENT)
        await client.sandboxes.write(idles.id, "notes", b"kept")
        works = await client.sandboxes.open(
            tier=tier, idle_timeout="30s", limits={"time": "10m"}, wait=PATIENT
        )
        running = await client.jobs.submit(command=["sh", "-c", script], sandbox=works.id)
        await eventually(lambda: written(client, running.id), lambda text: "begun" in text, PATIENT)
        queued = await client.jobs.submit(command="cat runs", sandbox=works.id)
        killed = await asyncio.to_thread(stack.pid, "temporal")
        os.kill(killed, signal.SIGKILL)

        def another() -> bool:
            try:
                return stack.pid("temporal") != killed
            except AssertionError:
                return False

        await eventually(lambda: asyncio.to_thread(another), bool, PATIENT)
        await reachable(lambda: client.sandboxes.write(works.id, "go", b""))
        done = await client.jobs.wait(running.id, timeout=PATIENT)
        assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
        after = await client.jobs.wait(queued.id, timeout=PATIENT)
        assert (await written(client, after.id)).count("run\n") == 1, "it ran once"
        for one in (idles, works):
            found = await client.sandboxes.get(one.id)
            assert (found.state, found.opened) == (SandboxState.OPEN, 1), found
        more = await reachable(lambda: client.jobs.submit(command="cat notes", sandbox=idles.id))
        assert (await client.jobs.wait(more.id, timeout=PATIENT)).state is JobState.SUCCEEDED
        assert await written(client, more.id) == "kept"
        await eventually(
            lambda: state_of(client, works.id), lambda state: state is SandboxState.CLOSED, PATIENT
        )
        assert (await client.sandboxes.get(works.id)).reason is CloseReason.IDLE
        assert await state_of(client, idles.id) is SandboxState.OPEN


async def test_a_sandbox_from_the_shell_and_a_stack_that_is_stopped(dev_stack: Start, tmp_path: Path) -> None:
    tier = await tier_here(tmp_path)
    stack = await asyncio.to_thread(dev_stack)

    def minoots(*arguments: str) -> str:
        done = run("--url", stack.url, "sandboxes", *arguments, cwd=tmp_path, timeout=PATIENT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def use() -> None:
        opened = minoots("open", "--tier", tier, "--name", "shed", "--keep", "--wait", str(PATIENT))
        sandbox = opened.partition(":")[0]
        assert ": open" in opened
        (tmp_path / "words").write_text("tea for two\n")
        assert "12 bytes" in minoots("put", sandbox, "words", "in/words")
        assert "TEA" in minoots("run", sandbox, "--", "sh", "-c", "tr a-z A-Z < in/words | tee loud")
        assert minoots("get", sandbox, "loud") == "TEA FOR TWO\n"
        assert "in/words" in minoots("files", sandbox)
        assert len(minoots("snapshot", sandbox).strip()) == 64
        assert "suspended" in minoots("suspend", sandbox)
        assert ": open" in minoots("resume", sandbox)
        assert sandbox in minoots("list", "--state", "open")
        assert ": open" in minoots("show", sandbox)
        assert "closed" in minoots("close", sandbox)

    await asyncio.to_thread(use)
    seconds = f"603.{os.getpid()}"
    async with AsyncMinoots(stack.url) as client:
        left_open = await client.sandboxes.open(tier=tier, limits={"time": "1h"}, wait=PATIENT)
        job = await client.jobs.submit(command=f"echo one; sleep {seconds}", sandbox=left_open.id)
        await eventually(lambda: written(client, job.id), lambda text: "one" in text, PATIENT)
    held = await asyncio.to_thread(sleepers, seconds)
    assert await asyncio.to_thread(stack.stop) == 0
    _, alive = await asyncio.to_thread(psutil.wait_procs, held, 30)
    assert alive == [], "a worker that stops ends what it holds"
