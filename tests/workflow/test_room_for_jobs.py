"""Jobs wait in their queue while the machine has no memory for them, and begin when it has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stacks import Stack, eventually, stack_of
from temporalio.testing import WorkflowEnvironment
from working import cancel, ended, get, reaches, submit

from minoots.contracts import Job, JobState
from minoots.errors import FailureKind
from minoots_activities.sandboxes.room import folder_of
from minoots_platform.records import Database
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry


@pytest.fixture
async def small(
    sqlite_database: Database,
    temporal: WorkflowEnvironment,
    namespace: str,
    telemetry: Telemetry,
    tmp_path: Path,
) -> AsyncIterator[Stack]:
    """A stack whose sandboxes have 100 megabytes together."""
    settings = with_overrides(
        Settings(), {"data_dir": str(tmp_path), "sandbox": {"memory_mb": 100, "spare_memory_mb": 0}}
    )
    address = temporal.client.service_client.config.target_host
    async with stack_of(sqlite_database, address, namespace, telemetry, settings=settings) as stack:
        yield stack


async def program(stack: Stack, folder: Path, mb: int) -> Job:
    """Submit a program that runs until a file is there."""
    script = f"while [ ! -e {folder}/end ]; do sleep 0.05; done"
    body: dict[str, Any] = {"kind": "exec", "tier": "process", "command": ["sh", "-c", script]}
    return await submit(stack, **body, limits={"memory_mb": mb, "time": "10m"})


async def standing(folder: Path) -> list[bool]:
    """Whether those in the list have room."""
    texts = [path.read_text() for path in folder_of(folder).glob("minoots-*")]
    return sorted(json.loads(text)["taken"] for text in texts if text)


async def test_a_job_begins_when_there_is_memory_for_it(small: Stack, tmp_path: Path) -> None:
    first, second = [await program(small, tmp_path, 40) for _ in range(2)]
    for job in (first, second):
        await reaches(small, job, JobState.RUNNING)
    third = await program(small, tmp_path, 40)
    await eventually(lambda: standing(tmp_path), lambda found: found == [False, True, True], 60)
    waits = await get(small, third)
    assert waits.state is JobState.QUEUED
    assert waits.queue is not None
    assert (waits.queue.ahead, waits.queue.running) == (0, 2)
    called_off = await program(small, tmp_path, 40)
    await eventually(lambda: standing(tmp_path), lambda found: found == [False, False, True, True], 60)
    await cancel(small, called_off)
    assert (await ended(small, called_off)).state is JobState.CANCELLED
    (tmp_path / "end").touch()
    for job in (first, second, third):
        done = await ended(small, job)
        assert done.state is JobState.SUCCEEDED, done
        assert done.attempt == 1
    await eventually(lambda: standing(tmp_path), lambda found: found == [], 60)


async def test_a_job_for_which_there_never_is_any_fails_and_says_so(small: Stack, tmp_path: Path) -> None:
    done = await ended(small, await program(small, tmp_path, 101))
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.kind is FailureKind.INVALID
    assert done.problem.detail.startswith("limits.memory_mb is 101, and sandboxes of this worker's machine")
    assert "sandbox.memory_mb" in (done.problem.remedy or "")
