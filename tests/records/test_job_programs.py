"""A program that runs in the activity itself: what is kept of it, whatever it calls its files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from stacks import TENANT
from temporalio.testing import ActivityEnvironment

from minoots.contracts import ExecResult, JobDetail
from minoots_activities.jobs.programs import Programs
from minoots_activities.sandboxes.tiers import Tiers
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, jobs
from minoots_platform.settings import JobsSettings
from minoots_workflows.jobs.contracts import StepDue


async def run(
    database: Database, script: str, settings: JobsSettings | None = None
) -> tuple[JobDetail, dict[str, int]]:
    """Run a script of the shell that keeps everything; return its job and its artifacts' sizes."""
    admission = jobs.Admission(10, timedelta(minutes=10))
    body = {"kind": "exec", "tier": "process", "command": ["sh", "-c", script], "outputs": ["**"]}
    async with database.write() as connection:
        job = await jobs.accept(
            connection,
            TENANT,
            jobs.REQUEST.validate_python(body),
            admission,
            now=utc_now(),
            actor="test",
            traceparent=None,
        )
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
