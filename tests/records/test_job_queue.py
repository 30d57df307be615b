"""How many jobs go before one that waits, and when it will probably begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stacks import TENANT

from minoots.contracts import Job, JobQueue, JobState
from minoots_platform.records import Database, job_progress, jobs
from minoots_platform.records.job_progress import Begun, Outcome

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
PROGRAM: dict[str, Any] = {"kind": "exec", "command": ["true"]}
QUESTION: dict[str, Any] = {"kind": "llm", "model": "m", "messages": [{"role": "user", "text": "tea?"}]}
MACHINE: dict[str, Any] = {"kind": "vm", "command": ["true"]}


async def accept(
    database: Database, spec: dict[str, Any], after: float = 0, *, tenant: str = TENANT, priority: int = 3
) -> Job:
    """Keep a job so many seconds after the first."""
    admission = jobs.Admission(most_unfinished=50, default_deadline=timedelta(hours=1))
    request = jobs.REQUEST.validate_python({**spec, "priority": priority})
    async with database.write() as connection:
        return await jobs.accept(
            connection,
            tenant,
            request,
            admission,
            now=NOW + timedelta(seconds=after),
            actor="test",
            traceparent=None,
        )


async def begin(database: Database, job: Job, tenant: str = TENANT) -> Begun:
    """Have a worker begin a job."""
    async with database.write() as connection:
        begun = await job_progress.begin(connection, tenant, job.id, most_attempts=5, now=NOW)
    assert begun is not None
    return begun


async def run(database: Database, job: Job, seconds: float) -> None:
    """Have a job run to its end."""
    await run_of(database, job, TENANT, seconds)


async def run_of(database: Database, job: Job, tenant: str, seconds: float) -> None:
    """Have a job of somebody run to its end."""
    begun = await begin(database, job, tenant)
    async with database.write() as connection:
        ended = NOW + timedelta(seconds=seconds)
        assert await job_progress.finish(connection, begun, Outcome(JobState.SUCCEEDED), ended)


async def queue_of(database: Database, job: Job) -> JobQueue | None:
    """What stands before a job."""
    async with database.read() as connection:
        return (await jobs.get(connection, TENANT, job.id)).queue


async def test_who_comes_first_and_who_matters_more_goes_before(database: Database) -> None:
    first = await accept(database, PROGRAM)
    last = await accept(database, PROGRAM, 3)
    await accept(database, PROGRAM, 4, priority=5)
    assert await queue_of(database, first) == JobQueue(ahead=0, running=0)
    assert await queue_of(database, last) == JobQueue(ahead=1, running=0)
    await accept(database, MACHINE, 5, tenant="globex", priority=1)
    await accept(database, QUESTION, 1)
    assert await queue_of(database, last) == JobQueue(ahead=2, running=0), "models have workers of their own"


async def test_when_it_begins_is_guessed_by_the_last_that_ended(database: Database) -> None:
    for seconds in (10, 30):
        await run(database, await accept(database, PROGRAM), seconds)
    await run(database, await accept(database, QUESTION), 500)
    at_work = [await accept(database, PROGRAM) for _ in range(2)]
    waiting = [await accept(database, PROGRAM, 1 + number) for number in range(3)]
    for job in at_work:
        await begin(database, job)
    found = [await queue_of(database, job) for job in waiting]
    assert found == [
        JobQueue(ahead=0, running=2, starts_in=10.0),
        JobQueue(ahead=1, running=2, starts_in=20.0),
        JobQueue(ahead=2, running=2, starts_in=30.0),
    ]


async def test_of_other_tenants_only_the_place_is_told(database: Database) -> None:
    theirs = await accept(database, PROGRAM, tenant="globex")
    await run_of(database, theirs, "globex", 37)
    for _ in range(3):
        await begin(database, await accept(database, PROGRAM, tenant="globex"), "globex")
    await accept(database, PROGRAM, tenant="globex")
    job = await accept(database, PROGRAM, 1)
    assert await queue_of(database, job) == JobQueue(ahead=1, running=0, starts_in=30.0), (
        "2 * 37 / 3, coarsely"
    )


async def test_a_guess_is_rounded_up(database: Database) -> None:
    await run(database, await accept(database, PROGRAM), 4000)
    await begin(database, await accept(database, PROGRAM))
    found = await queue_of(database, await accept(database, PROGRAM, 1))
    assert found == JobQueue(ahead=0, running=1, starts_in=7200.0)


async def test_one_that_has_begun_waits_for_nobody(database: Database) -> None:
    job = await accept(database, PROGRAM)
    await run(database, job, 1)
    assert await queue_of(database, job) is None
