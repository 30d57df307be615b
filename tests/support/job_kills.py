"""Killing the workers of jobs, and looking at what is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import psutil
from dev_stacks import DevStack

from minoots import AsyncMinoots
from minoots.job_following import Transcript


async def written(client: AsyncMinoots, job_id: str) -> str:
    """What a job has written by now, without what is void."""
    seen, after = Transcript(), 0
    while (found := await client.jobs.events_now(job_id, after=after)).items:
        for event in found.items:
            seen.add(event)
        after = found.next_after
    return seen.text()


async def kill_worker(stack: DevStack) -> None:
    """Kill the process that serves models, sandboxes and workflows."""
    os.kill(await asyncio.to_thread(stack.pid, "worker-jobs"), signal.SIGKILL)


def sleepers(seconds: str) -> list[psutil.Process]:
    """Programs that sleep as long as no other test's."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline() == ["sleep", seconds] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
