"""Jobs through the parts: submit, wait, read what came of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stacks import TENANT, Stack, eventually

from minoots.contracts import Artifact, Job, JobDetail, JobEvent, JobEventType, JobState
from minoots_platform.clock import utc_now
from minoots_platform.records import contents, jobs

ADMISSION = jobs.Admission(most_unfinished=100, default_deadline=timedelta(minutes=10))


async def accept(stack: Stack, body: dict[str, Any]) -> Job:
    """Keep a job without telling the engine."""
    async with stack.database.write() as connection:
        return await jobs.accept(
            connection,
            TENANT,
            jobs.REQUEST.validate_python(body),
            ADMISSION,
            now=utc_now(),
            actor="test",
            traceparent=None,
        )


async def submit(stack: Stack, **body: Any) -> Job:
    """Submit a job and hand it over."""
    job = await accept(stack, body)
    assert await stack.handover.job(job.id)
    return job


async def cancel(stack: Stack, job: Job) -> None:
    """Have a job stop."""
    async with stack.database.write() as connection:
        await jobs.cancel(connection, TENANT, job.id, now=utc_now(), actor="test")
    assert await stack.handover.job(job.id, "cancelled")


async def get(stack: Stack, job: Job) -> JobDetail:
    """The job as it stands."""
    async with stack.database.read() as connection:
        return await jobs.get(connection, TENANT, job.id)


async def ended(stack: Stack, job: Job, timeout: float = 60) -> JobDetail:
    """The job, once it has ended."""
    return await eventually(lambda: get(stack, job), lambda found: found.state.final, timeout)


async def reaches(stack: Stack, job: Job, state: JobState) -> JobDetail:
    """The job, once it is in a state."""
    return await eventually(lambda: get(stack, job), lambda found: found.state is state, 60)


async def events(stack: Stack, job: Job) -> tuple[JobEvent, ...]:
    """All events of a job."""
    async with stack.database.read() as connection:
        return (await jobs.events_after(connection, TENANT, job.id, after=0, limit=10_000)).items


async def artifacts(stack: Stack, job: Job) -> dict[str, Artifact]:
    """What a job has made, by name."""
    async with stack.database.read() as connection:
        return {one.name: one for one in await jobs.artifacts(connection, TENANT, job.id)}


async def made(stack: Stack, job: Job, name: str) -> bytes:
    """The bytes of an artifact."""
    return await contents.read(stack.database, TENANT, (await artifacts(stack, job))[name].sha256)


def read(told: tuple[JobEvent, ...], kind: JobEventType = JobEventType.LOG, name: str = "text") -> str:
    """What a reader of events has read in the end: what was dropped is not part of it."""
    kept: list[JobEvent] = []
    for event in told:
        after = event.data.get("drop_after")
        if after is not None:
            kept = [one for one in kept if one.sequence <= after]
        kept.append(event)
    return "".join(event.data.get(name, "") for event in kept if event.type is kind)
