"""A program that runs in the activity itself: what is kept of it, whatever it calls its files."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from stacks import TENANT, eventually
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from vm_images import image_for, shared_folder

from minoots.contracts import (
    ExecJob,
    ExecResult,
    Job,
    JobDetail,
    JobEventType,
    Limits,
    NetworkUse,
    OnLost,
    Tier,
    VmResult,
)
from minoots_activities.jobs.holds import HOLD
from minoots_activities.jobs.programs import Programs, on_lost
from minoots_activities.jobs.telling import Teller
from minoots_activities.jobs.working import UnwantedError, while_wanted
from minoots_activities.sandboxes.memory import Memory
from minoots_activities.sandboxes.port import Sandbox
from minoots_activities.sandboxes.room import Room
from minoots_activities.sandboxes.tiers import Network, Tiers
from minoots_platform.clock import Clock, utc_now
from minoots_platform.network_rules import Rules
from minoots_platform.records import Database, job_holds, job_progress, jobs
from minoots_platform.settings import JobsSettings, TelemetrySettings
from minoots_platform.telemetry import start_logs
from minoots_workflows.jobs.contracts import StepDone, StepDue


async def accept(database: Database, script: str) -> Job:
    """Keep a job that runs a script of the shell and keeps every file."""
    return await accept_body(
        database, {"kind": "exec", "tier": "process", "command": ["sh", "-c", script], "outputs": ["**"]}
    )


async def accept_body(database: Database, body: dict[str, Any], now: datetime | None = None) -> Job:
    """Keep a job."""
    request = jobs.REQUEST.validate_python(body)
    admission = jobs.Admission(10, timedelta(minutes=10))
    async with database.write() as connection:
        return await jobs.accept(
            connection, TENANT, request, admission, now=now or utc_now(), actor="test", traceparent=None
        )


async def run(
    database: Database, script: str, settings: JobsSettings | None = None
) -> tuple[JobDetail, dict[str, int]]:
    """Run a script; return its job and its artifacts' sizes."""
    job = await accept(database, script)
    tiers = Tiers(vm_image=Path("none"), allow_process=True, use_cgroups=False)
    programs = Programs(database, tiers, settings or JobsSettings(), utc_now)
    await ActivityEnvironment().run(programs.run_program, StepDue(tenant=TENANT, job_id=job.id))
    async with database.read() as connection:
        found = await jobs.get(connection, TENANT, job.id)
        made = await jobs.artifacts(connection, TENANT, job.id)
    return found, {one.name: one.bytes for one in made}


async def test_files_that_are_called_like_the_streams_are_kept_beside_them(database: Database) -> None:
    job, made = await run(
        database, "echo out; mkdir files; printf a > stdout; printf ab > files/stdout; printf abc > stderr"
    )
    assert job.state == "succeeded", job
    assert made == {"stdout": 4, "files/stdout": 2, "files/files/stdout": 1, "files/stderr": 3}


async def test_artifacts_of_a_job_have_a_most_together_and_what_is_left_out_is_told(
    database: Database,
) -> None:
    settings = JobsSettings(max_output_bytes=1024)
    job, made = await run(
        database, "echo out; head -c 1000 /dev/zero > a; head -c 1000 /dev/zero > b; printf c > c", settings
    )
    assert made == {"stdout": 4, "a": 1000, "c": 1}
    assert isinstance(job.result, ExecResult)
    assert job.result.outputs_left_out == 1


async def test_every_attempt_to_reach_a_host_is_told_and_audited(database: Database, tmp_path: Path) -> None:
    tiers = Tiers(vm_image=Path("none"), network=Network(most=Rules.parse(["*"])))
    lacks = await tiers._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    reach = (
        "import os, socket\n"
        "where = os.environ['HTTPS_PROXY'].rpartition(':')[2]\n"
        "for host in ('[::1]', 'other.example'):\n"
        "    there = socket.create_connection(('127.0.0.1', int(where)))\n"
        "    there.sendall(f'CONNECT {host}:443 HTTP/1.1\\r\\n\\r\\n'.encode())\n"
        "    print(there.makefile().readline())\n"
    )
    body = {"kind": "exec", "command": ["python3", "-c", reach], "network": ["[::1]:443"]}
    job = await accept_body(database, body)
    audited = tmp_path / "audit.log"
    with start_logs(TelemetrySettings(audit_log=audited), "test"):
        programs = Programs(database, tiers, JobsSettings(), utc_now)
        await ActivityEnvironment().run(programs.run_program, StepDue(tenant=TENANT, job_id=job.id))
    async with database.read() as connection:
        found = await jobs.get(connection, TENANT, job.id)
        events = await jobs.events_after(connection, TENANT, job.id, after=0, limit=100)
    assert isinstance(found.result, ExecResult), found
    assert found.result.stdout_tail.count("403 Forbidden") == 2
    assert found.result.network == NetworkUse(refused=2)
    told = [
        event.data["network"]
        for event in events.items
        if event.type is JobEventType.STATUS and "network" in event.data
    ]
    assert [(one["host"], one["port"], one["allowed"]) for one in told] == [
        ("::1", 443, False),
        ("other.example", 443, False),
    ]
    lines = [json.loads(line) for line in audited.read_text().splitlines()]
    reached = [line for line in lines if line["event"] == "job.network"]
    assert [(line["host"], line["decision"], line["actor"], line["tenant"]) for line in reached] == [
        ("::1", "deny", "test", TENANT),
        ("other.example", "deny", "test", TENANT),
    ]
    assert "loopback" in reached[0]["reason"]


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({}, OnLost.RERUN),
        ({"tier": "container"}, OnLost.RERUN),
        ({"tier": "process"}, OnLost.FAIL),
        ({"network": ["example.org"]}, OnLost.FAIL),
        ({"network": ["example.org"], "on_lost": "rerun"}, OnLost.RERUN),
    ],
)
def test_a_program_that_may_have_done_something_outside_is_not_run_twice(
    more: dict[str, Any], lost: OnLost
) -> None:
    assert on_lost(ExecJob.model_validate({"kind": "exec", "command": ["true"], **more})) is lost


async def test_a_vm_job_tells_of_its_machine(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = image_for(shared_folder(tmp_path_factory))
    tiers = Tiers(vm_image=image)
    lacks = await tiers._given[Tier.VM].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    job = await accept_body(
        database,
        {
            "kind": "vm",
            "command": ["sh", "-c", "echo own kernel; echo x > console"],
            "outputs": ["*"],
            "limits": {"memory_mb": 64, "time": "60s"},
        },
    )
    programs = Programs(database, tiers, JobsSettings(), utc_now)
    await ActivityEnvironment().run(programs.run_program, StepDue(tenant=TENANT, job_id=job.id))
    async with database.read() as connection:
        found = await jobs.get(connection, TENANT, job.id)
        made = {one.name: one.bytes for one in await jobs.artifacts(connection, TENANT, job.id)}
    assert found.state == "succeeded", found
    assert isinstance(found.result, VmResult)
    assert (found.kind, found.result.kind, found.result.tier) == ("vm", "vm", "vm")
    assert found.result.accelerator == found.result.held_by["accelerator"]
    assert found.result.stdout_tail == "own kernel\n"
    # A quiet kernel may have written nothing; then the name is the file's.
    assert made.get("files/console", made.get("console")) == 2


def test_a_vm_job_can_be_of_no_other_tier() -> None:
    with pytest.raises(ValidationError):
        jobs.REQUEST.validate_python({"kind": "vm", "command": ["true"], "tier": "process"})


class _Broken(Tiers):
    """Sandboxes of a machine that fails in a way that nobody thought of."""

    async def create(self, tier: Tier, name: str, limits: Limits, **more: Any) -> Sandbox:
        raise ZeroDivisionError("words of a stranger")


async def test_what_goes_wrong_by_surprise_says_no_more_than_its_kind(database: Database) -> None:
    job = await accept(database, "true")
    programs = Programs(database, _Broken(vm_image=Path("none")), JobsSettings(), utc_now)
    with pytest.raises(ApplicationError) as raised:
        await ActivityEnvironment().run(programs.run_program, StepDue(tenant=TENANT, job_id=job.id))
    assert raised.value.message == "ZeroDivisionError"
    assert raised.value.__cause__ is None


async def test_signs_of_life_go_on_while_work_that_was_called_off_stops(database: Database) -> None:
    job = await accept(database, "true")
    async with database.write() as connection:
        begun = await job_progress.begin(connection, TENANT, job.id, most_attempts=5, now=utc_now())
    assert begun is not None
    beat = asyncio.Event()
    begins = asyncio.Event()
    ends = asyncio.Event()

    async def work() -> None:
        try:
            begins.set()
            await asyncio.Event().wait()
        finally:
            beat.clear()
            # Slow to stop: until a sign of life came all the same.
            await beat.wait()
            ends.set()

    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beat.set()
    teller = Teller(database, begun, utc_now, 1000)
    running = asyncio.create_task(environment.run(while_wanted, work(), database, begun, teller))
    async with asyncio.timeout(60):
        await begins.wait()
        teller.unwanted.set()
        with pytest.raises(UnwantedError):
            await running
    assert ends.is_set()


async def lines(path: Path) -> int:
    """How many lines a file has; none as long as it is not there."""
    return path.read_text().count("\n") if path.exists() else 0


def ran_by(database: Database, job: Job, clock: Clock = utc_now) -> asyncio.Task[StepDone]:
    """Have a worker of its own run the program of a job."""
    tiers = Tiers(vm_image=Path("none"), allow_process=True, use_cgroups=False)
    programs = Programs(database, tiers, JobsSettings(), clock)
    due = StepDue(tenant=TENANT, job_id=job.id)
    return asyncio.create_task(ActivityEnvironment().run(programs.run_program, due))


async def test_a_program_that_another_worker_is_at_is_let_finish(database: Database, tmp_path: Path) -> None:
    job = await accept(
        database, f"echo run >> {tmp_path}/runs; until test -e {tmp_path}/go; do sleep 0.05; done"
    )
    first = ran_by(database, job)
    await eventually(lambda: lines(tmp_path / "runs"), bool)

    async def until() -> datetime:
        async with database.read() as connection:
            found = await job_holds.held_until(connection, TENANT, job.id)
        assert found is not None
        return found

    began = await until()
    # Temporal takes the first one for dead.
    second = ran_by(database, job)
    await eventually(until, lambda now: now > began + HOLD / 4)
    assert not second.done()
    (tmp_path / "go").touch()
    async with asyncio.timeout(60):
        assert (await first).state == "succeeded"
        assert (await second).state == "", "nothing was left to do"
    async with database.read() as connection:
        assert (await jobs.get(connection, TENANT, job.id)).attempt == 1
    assert await lines(tmp_path / "runs") == 1


async def test_a_program_whose_worker_says_nothing_any_more_is_begun_anew(
    database: Database, tmp_path: Path
) -> None:
    job = await accept(database, f"echo run >> {tmp_path}/runs")
    async with database.write() as connection:
        dead = await job_progress.begin(
            connection, TENANT, job.id, most_attempts=5, now=utc_now(), hold=timedelta(minutes=5)
        )
    assert dead is not None
    waiting = ran_by(database, job)
    async with asyncio.timeout(60):
        # By a clock of later.
        assert (await ran_by(database, job, lambda: utc_now() + timedelta(minutes=5))).state == "succeeded"
        assert (await waiting).state == ""
    async with database.write() as connection:
        assert not await job_holds.go_on(connection, dead, utc_now())
        assert (await jobs.get(connection, TENANT, job.id)).attempt == 2


async def test_a_worker_that_stops_lets_another_one_begin_at_once(database: Database, tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/again || {{ echo run >> {tmp_path}/runs; exec sleep 600; }}"
    body = {"kind": "exec", "tier": "process", "command": ["sh", "-c", script], "on_lost": "rerun"}
    job = await accept_body(database, body)
    first = ran_by(database, job)
    await eventually(lambda: lines(tmp_path / "runs"), bool)
    (tmp_path / "again").touch()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with database.read() as connection:
        assert await job_holds.held_until(connection, TENANT, job.id) is None
    async with asyncio.timeout(60):
        again = await ran_by(database, job)
    async with database.read() as connection:
        found = await jobs.get(connection, TENANT, job.id)
    assert (again.state, found.attempt) == ("succeeded", 2), found.problem


async def test_a_job_whose_worker_died_has_its_place_in_the_line_for_memory(
    database: Database, tmp_path: Path
) -> None:
    room = Room(100, 0, folder=tmp_path / "room", memory=lambda: Memory(100, None))
    tiers = Tiers(vm_image=Path("none"), allow_process=True, use_cgroups=False, room=room)
    programs = Programs(database, tiers, JobsSettings(), utc_now)
    tasks = []

    async def comes(script: str, minutes_ago: int) -> None:
        """Have a worker take a job that was accepted so long ago; it stands in the line then."""
        body = {"kind": "exec", "tier": "process", "command": ["sh", "-c", script]}
        body["limits"] = {"memory_mb": 60}
        job = await accept_body(database, body, utc_now() - timedelta(minutes=minutes_ago))
        due = StepDue(tenant=TENANT, job_id=job.id)
        tasks.append(asyncio.create_task(ActivityEnvironment().run(programs.run_program, due)))
        await eventually(lambda: in_line(tmp_path / "room"), lambda found: found == 1 + len(tasks))

    async with room.hold("before", Tier.PROCESS, Limits(memory_mb=60)):
        await comes(f"echo later >> {tmp_path}/order", 5)
        # The worker that waited with it has died, and another one has it now.
        await comes(f"echo earlier >> {tmp_path}/order", 9)
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)
    assert (tmp_path / "order").read_text().split() == ["earlier", "later"]


async def in_line(folder: Path) -> int:
    """How many have room or wait for it."""
    return len([path for path in folder.glob("minoots-*") if path.read_text()])
