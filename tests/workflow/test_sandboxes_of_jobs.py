"""A sandbox of a job that ends before its program has begun is replaced by another, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest
from agents_at_work import Serve, call, results, serving, task
from shut_in import Try
from stacks import Stack
from temporalio.testing import WorkflowEnvironment
from working import ended, events, made, submit

from minoots.contracts import JobEventType, JobState
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.port import Sandbox
from minoots_activities.sandboxes.tiers import Tiers
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry


@pytest.fixture
def serve(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> Serve:
    """Open a stack whose model gives these answers, one after the other."""
    return serving(sqlite_database, temporal, namespace, telemetry)


@pytest.fixture
def short_lived(monkeypatch: pytest.MonkeyPatch) -> list[Sandbox]:
    """Have the first sandboxes killed as soon as they have begun; how many may be changed.

    One each is killed with its host knowing, one without.
    """
    begun: list[Sandbox] = []
    create = Tiers.create

    async def create_and_kill(tiers: Tiers, *arguments: Any, **more: Any) -> Sandbox:
        sandbox = await create(tiers, *arguments, **more)
        begun.append(sandbox)
        if len(begun) <= 2:
            for process in Try(sandbox).processes():
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
            if len(begun) == 1:
                async with asyncio.timeout(60):
                    await sandbox.ended()
        return sandbox

    monkeypatch.setattr(Tiers, "create", create_and_kill)
    return begun


@pytest.mark.parametrize("tier", [Tier.PROCESS, Tier.BUBBLEWRAP])
@pytest.mark.parametrize("files", [[], [{"path": "in", "text": "tea"}]], ids=["", "with files"])
async def test_a_job_does_not_notice(
    stack: Stack, short_lived: list[Sandbox], tier: Tier, files: list[dict[str, str]]
) -> None:
    if tier is Tier.BUBBLEWRAP and (lacks := await Tiers(vm_image=Path("none"))._given[tier].missing()):
        pytest.skip("; ".join(lacks))
    job = await submit(stack, kind="exec", tier=tier, command=["sh", "-c", "cat in; echo run"], files=files)
    done = await ended(stack, job)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
    assert len(short_lived) == 3
    words = "tea" if files else ""
    assert await made(stack, job, "stdout") == f"{words}run\n".encode()
    told = await events(stack, job)
    assert not [event for event in told if event.type is JobEventType.ERROR]


async def test_a_command_of_an_agent_does_not_notice(serve: Serve, short_lived: list[Sandbox]) -> None:
    answers = [call("write_file", path="in", text="tea"), call("run", command="cat in; echo run"), "done"]
    async with serve(*answers) as (stack, _):
        job = await submit(stack, **task())
        done = await ended(stack, job)
        assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
        assert (await results(stack, job))[1] == "exit code 0\ntearun"
    assert len(short_lived) == 3
