"""Jobs that would go on for an hour, and the other end of each: what runs on until it is really stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
from dev_stacks import DevStack
from job_kills import sleepers, written
from model_servers import heard

from minoots import AsyncMinoots
from minoots.contracts import Job

HANGING: dict[str, Any] = {"text": "one two", "fault": {"kind": "hang", "after": 1}}
"""A turn of a model of which one word comes and then nothing."""


@dataclass
class Lasting:
    """A job that lasts for an hour.

    Attributes:
        job: what is submitted.
        begun: text that it has written once it is under way.
        here: the processes on this machine that are its doing.
        open: requests to the model server that have not ended, where it asks a model.
    """

    job: dict[str, Any]
    begun: str
    here: Callable[[], list[psutil.Process]] = field(default=list)
    open: Callable[[], Awaitable[int]] | None = None

    async def start(self, client: AsyncMinoots) -> Job:
        """Submit it and wait until it is under way."""
        job = await client.jobs.submit(**self.job)
        async with asyncio.timeout(180):
            while self.begun not in await written(client, job.id):
                await asyncio.sleep(0.05)
        return job


def model(url: str) -> Lasting:
    """A model that hangs in the middle of its answer."""

    async def open_requests() -> int:
        return sum(one["ended_at"] is None for one in await heard(url))

    return Lasting({"prompt": "hang"}, "one", open=open_requests)


def program(seconds: str) -> Lasting:
    """A program in a sandbox that sleeps so many seconds, as no other does."""
    return Lasting(
        {"command": f"echo begun; sleep {seconds}", "limits": {"time": "1h"}},
        "begun",
        lambda: sleepers(seconds),
    )


def tool(seconds: str) -> Lasting:
    """An agent whose command sleeps, if its model says so."""
    return Lasting(
        {"task": f"sleep {seconds}", "tools": [{"name": "run", "time": "1h"}], "limits": {"time": "1h"}},
        "tooled",
        lambda: sleepers(seconds),
    )


def machine(stack: DevStack) -> Lasting:
    """A program in a machine of its own."""
    limits = {"time": "1h", "memory_mb": 64, "disk_mb": 16}
    return Lasting(
        {"kind": "vm", "command": "echo begun; sleep 3600", "limits": limits},
        "begun",
        lambda: machines(stack),
    )


def machines(stack: DevStack) -> list[psutil.Process]:
    """The machines that run below a stack."""
    return [one for one in stack.family() if one.is_running() and "qemu-system" in one.name()]


def turns(seconds: str) -> list[dict[str, Any]]:
    """What a model server plays for all of them."""
    command = {"name": "run", "arguments": {"command": f"echo tooled; sleep {seconds}", "seconds": 3600}}
    return [{"when": f"sleep {seconds}", "tool_calls": [command]}, {"when": "hang", **HANGING}]
