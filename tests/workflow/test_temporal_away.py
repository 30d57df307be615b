"""Temporal is away for longer than it waits for signs of life: what ran goes on, and is found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from agents_at_work import call, results, serving, task
from model_servers import heard
from stacks import TENANT, Stack, eventually, stack_of
from standing import opened
from temporal_servers import Server, server
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from working import cancel, ended, events, get, made, reaches, read, submit

from minoots.contracts import Job, JobState
from minoots_activities.jobs import working
from minoots_platform.clock import utc_now
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id

PATIENT = 120
PACE = 0.1
"""Seconds between two words of a program."""
LONGER = {"own": 5.0, "standing": 12.0}
"""Seconds that are more than Temporal waits for a sign of life."""


@dataclass
class Away:
    """A stack, and its server that goes away."""

    stack: Stack
    server: Server
    folder: Path
    sandbox_id: str = ""

    async def program(self, where: str) -> Job:
        """Have a program run that writes until it is to end, and notes that it has run."""
        script = (
            f"echo run >> {self.folder}/runs; while [ ! -e {self.folder}/go ]; do echo tick; sleep {PACE}; "
            "done; echo done"
        )
        body: dict[str, Any] = {"kind": "exec", "command": ["sh", "-c", script], "limits": {"time": "10m"}}
        if where == "standing":
            self.sandbox_id = self.sandbox_id or (await opened(self.stack, limits={"time": "10m"})).id
            body["sandbox"] = self.sandbox_id
        else:
            body["tier"] = "process"
        job = await submit(self.stack, **body)
        await eventually(lambda: self.ticks(job), lambda ticks: ticks > 0, PATIENT)
        return job

    async def ticks(self, job: Job) -> int:
        """How often a program has said that it goes on."""
        return read(await events(self.stack, job)).count("tick")

    async def goes_on_for(self, job: Job, seconds: float) -> None:
        """Wait until a program has gone on for so long."""
        before = await self.ticks(job)
        many = before + seconds / PACE
        await eventually(lambda: self.ticks(job), lambda ticks: ticks >= many, PATIENT)

    def end(self) -> None:
        """Have the program end by itself."""
        (self.folder / "go").touch()

    def runs(self) -> int:
        """How often it was begun."""
        return (self.folder / "runs").read_text().count("run")

    def workflow(self, job: Job) -> WorkflowHandle[Any, Any]:
        """The handle of a job's workflow."""
        return self.stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id))

    async def comes_back(self, job: Job) -> None:
        """Have the server there again, and wait until it knows that somebody is at the program.

        It may have taken that one for dead meanwhile, or have heard of it just in time.
        """
        now = utc_now()
        await self.server.start()

        async def known() -> bool:
            found = await self.workflow(job).describe()
            return any(
                max(one.last_heartbeat_time.ToDatetime(UTC), one.last_started_time.ToDatetime(UTC)) > now
                for one in found.raw_description.pending_activities
                if one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            )

        await eventually(known, bool, PATIENT)


@pytest.fixture
async def away(sqlite_database: Database, telemetry: Telemetry, tmp_path: Path) -> AsyncIterator[Away]:
    """A stack on a server of its own."""
    async with (
        server(tmp_path) as own,
        stack_of(sqlite_database, own.address, "default", telemetry) as stack,
    ):
        yield Away(stack, own, tmp_path)


@pytest.mark.parametrize("where", ["own", "standing"])
async def test_a_program_goes_on_and_is_waited_for_again(away: Away, where: str) -> None:
    job = await away.program(where)
    await away.server.kill()
    await away.goes_on_for(job, LONGER[where])
    await away.comes_back(job)
    await away.goes_on_for(job, 1.0)
    away.end()
    done = await ended(away.stack, job, PATIENT)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
    assert away.runs() == 1
    assert (await made(away.stack, job, "stdout")).endswith(b"tick\ndone\n")
    async with asyncio.timeout(PATIENT):
        assert (await away.workflow(job).result())["state"] == JobState.SUCCEEDED


@pytest.mark.parametrize("where", ["own", "standing"])
async def test_a_program_that_ends_meanwhile_has_ended_as_it_did(away: Away, where: str) -> None:
    job = await away.program(where)
    await away.server.kill()
    await away.goes_on_for(job, LONGER[where])
    away.end()
    done = await ended(away.stack, job, PATIENT)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
    await away.server.start()
    async with asyncio.timeout(PATIENT):
        assert (await away.workflow(job).result())["state"] == JobState.SUCCEEDED
    assert await get(away.stack, job) == done
    assert away.runs() == 1


@pytest.mark.parametrize("where", ["own", "standing"])
async def test_a_program_that_is_taken_for_dead_is_found_again(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    here = Away(stack, Server(tmp_path, 0), tmp_path)
    if where == "standing":
        here.sandbox_id = (await opened(stack, limits={"time": "10m"})).id
    with monkeypatch.context() as patched, structlog.testing.capture_logs() as told:
        # It is alive and gives no sign of that.
        patched.setattr(working, "_BEAT", 3600.0)
        job = await here.program(where)

        async def found() -> bool:
            return any((one["event"], one.get("job_id")) == ("job.found_again", job.id) for one in told)

        await eventually(found, bool, PATIENT)
    await here.goes_on_for(job, 1.0)
    here.end()
    done = await ended(stack, job, PATIENT)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
    assert here.runs() == 1
    async with asyncio.timeout(PATIENT):
        assert (await here.workflow(job).result())["state"] == JobState.SUCCEEDED


async def test_a_program_that_is_found_again_stops_when_it_is_to(away: Away) -> None:
    job = await away.program("own")
    await away.server.kill()
    await away.goes_on_for(job, LONGER["own"])
    await away.comes_back(job)
    await cancel(away.stack, job)
    assert (await ended(away.stack, job, PATIENT)).state is JobState.CANCELLED
    async with asyncio.timeout(PATIENT):
        await away.workflow(job).result()
    before = await away.ticks(job)
    assert await away.ticks(job) == before


async def test_a_program_whose_workflow_an_operator_ends_is_stopped(away: Away) -> None:
    job = await away.program("own")
    await reaches(away.stack, job, JobState.RUNNING)

    def at_work() -> bool:
        found = psutil.process_iter(["cmdline"])
        return any(f"{away.folder}/go" in word for one in found for word in one.info["cmdline"] or ())

    assert await asyncio.to_thread(at_work)
    await away.workflow(job).terminate("no more of it")
    await eventually(lambda: asyncio.to_thread(at_work), lambda works: not works, PATIENT)


async def test_a_model_and_a_tool_are_asked_once_however_long_nobody_hears_of_it(
    sqlite_database: Database,
    temporal: WorkflowEnvironment,
    namespace: str,
    telemetry: Telemetry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve = serving(sqlite_database, temporal, namespace, telemetry)
    wait = f"echo run >> {tmp_path}/runs; until test -e {tmp_path}/go; do sleep 0.05; done; echo tea"
    # Longer than Temporal waits for a sign of life.
    slow = {"text": "hm " * 80, "pace": 0.1, "tool_calls": [call("run", command=wait)]}
    async with serve(slow, "done") as (stack, url):
        here = Away(stack, Server(tmp_path, 0), tmp_path)
        with monkeypatch.context() as patched, structlog.testing.capture_logs() as told:
            patched.setattr(working, "_BEAT", 3600.0)
            job = await submit(stack, **task())

            async def found() -> int:
                return [(one["event"], one.get("job_id")) for one in told].count(("job.found_again", job.id))

            await eventually(found, lambda times: (tmp_path / "runs").exists(), PATIENT)
            before = await found()
            await eventually(found, lambda times: times > before, PATIENT)
        here.end()
        done = await ended(stack, job, PATIENT)
        assert (done.state, done.attempt) == (JobState.SUCCEEDED, 1), done
        assert await results(stack, job) == ["exit code 0\ntea"]
        assert len(await heard(url)) == 2
    assert here.runs() == 1
