"""Jobs and contents in the records, on SQLite and Postgres."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from stacks import TENANT

from minoots.contracts import EventType, Job, JobEventType, JobProblem, JobState, Page
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, contents, events, job_progress, jobs, looks
from minoots_platform.records.job_progress import Begun, Made, NewJobEvent, Outcome
from minoots_platform.records.staging import PIECE

ADMISSION = jobs.Admission(most_unfinished=3, default_deadline=timedelta(minutes=10))
EXEC: dict[str, Any] = {"kind": "exec", "command": ["true"]}


async def accept(database: Database, now: datetime | None = None, **more: Any) -> Job:
    """Keep a job."""
    async with database.write() as connection:
        return await jobs.accept(
            connection,
            TENANT,
            jobs.REQUEST.validate_python({**EXEC, **more}),
            ADMISSION,
            now=now or utc_now(),
            actor="test",
            traceparent=None,
        )


async def begin(database: Database, job: Job, now: datetime | None = None, most: int = 5) -> Begun | None:
    """Begin an attempt."""
    async with database.write() as connection:
        return await job_progress.begin(connection, TENANT, job.id, most_attempts=most, now=now or utc_now())


async def get(database: Database, job: Job) -> Job:
    """A job as it stands."""
    async with database.read() as connection:
        return await jobs.get(connection, TENANT, job.id)


async def told(database: Database, job: Job) -> list[str]:
    """What the tenant's log says of a job."""
    async with database.read() as connection:
        wanted = events.EventFilter(subject=job.id)
        page = await events.read(connection, TENANT, after=0, limit=100, wanted=wanted)
    return [event.type for event in page.events]


async def test_a_job_is_accepted_begun_and_ended_with_an_event_each(database: Database) -> None:
    job = await accept(database)
    begun = await begin(database, job)
    assert begun is not None
    assert (begun.attempt, begun.first_event) == (1, 1)
    sha256 = await contents.keep(database, TENANT, b"made", utc_now())
    outcome = Outcome(JobState.SUCCEEDED, made=(Made("a", sha256, 4, "text/plain"),))
    async with database.write() as connection:
        assert await job_progress.finish(connection, begun, outcome, utc_now())
    assert await told(database, job) == [
        EventType.JOB_ACCEPTED,
        EventType.JOB_STARTED,
        EventType.JOB_SUCCEEDED,
    ]
    async with database.read() as connection:
        [made] = await jobs.artifacts(connection, TENANT, job.id)
    assert (made.name, made.sha256) == ("a", sha256)
    assert await begin(database, job) is None, "what has ended is not begun"


async def test_of_those_that_are_submitted_together_as_many_are_accepted_as_may(database: Database) -> None:
    first = await accept(database)
    came = await asyncio.gather(*(accept(database) for _ in range(50)), return_exceptions=True)
    refused = [one for one in came if not isinstance(one, Job)]
    assert len(refused) == 48
    assert all(isinstance(one, Failure) and one.kind is FailureKind.THROTTLED for one in refused), refused
    await begin_and_end(database, first)
    again = await asyncio.gather(*(accept(database) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(one, Job) for one in again) == 1


async def begin_and_end(database: Database, job: Job) -> None:
    """Have a job succeed."""
    begun = await begin(database, job)
    assert begun is not None
    async with database.write() as connection:
        assert await job_progress.finish(connection, begun, Outcome(JobState.SUCCEEDED), utc_now())


async def test_a_failure_is_told_with_its_remedy(database: Database) -> None:
    job = await accept(database)
    begun = await begin(database, job)
    assert begun is not None
    problem = JobProblem(kind=FailureKind.INVALID, detail="no", remedy="try")
    async with database.write() as connection:
        await job_progress.finish(connection, begun, Outcome(JobState.FAILED, problem=problem), utc_now())
    found = await get(database, job)
    assert (found.state, found.problem) == (JobState.FAILED, problem)


async def test_a_job_that_kills_its_workers_is_given_up(database: Database) -> None:
    job = await accept(database)
    for attempt in (1, 2):
        begun = await begin(database, job, most=2)
        assert begun is not None
        assert begun.attempt == attempt
    assert await begin(database, job, most=2) is None
    found = await get(database, job)
    assert found.state is JobState.FAILED
    assert found.problem is not None
    assert "2 times" in found.problem.detail


async def test_another_attempt_tells_what_to_drop(database: Database) -> None:
    job = await accept(database)
    drops = []
    for _ in range(3):
        begun = await begin(database, job)
        assert begun is not None
        async with database.write() as connection:
            event = NewJobEvent(JobEventType.LOG, {"text": "x"})
            await job_progress.append(connection, begun, [event, event], utc_now())
    async with database.read() as connection:
        found = await jobs.events_after(connection, TENANT, job.id, after=0, limit=100)
    drops = [event.data.get("drop_after") for event in found.items if event.type is JobEventType.STATUS]
    assert drops == [None, 0, 3]
    assert [event.sequence for event in found.items] == list(range(1, 10))
    assert found.state is JobState.RUNNING


async def test_a_job_can_be_told_to_stop_before_and_after_it_is_begun(database: Database) -> None:
    waiting, running = await accept(database), await accept(database)
    begun = await begin(database, running)
    assert begun is not None
    for job in (waiting, running):
        async with database.write() as connection:
            changed = await jobs.cancel(connection, TENANT, job.id, now=utc_now(), actor="ada")
        assert jobs.view(changed).cancel_requested
    assert await begin(database, waiting) is None
    async with database.read() as connection:
        assert not await job_progress.goes_on(connection, begun)
    for job in (waiting, running):
        async with database.write() as connection:
            look = await job_progress.look(connection, TENANT, job.id, utc_now())
        assert (look.state, look.kind) == (JobState.CANCELLED, None)
        async with database.write() as connection:
            with pytest.raises(Failure, match="the job was cancelled; only") as refused:
                await jobs.cancel(connection, TENANT, job.id, now=utc_now(), actor="ada")
        assert refused.value.kind is FailureKind.CONFLICT
    async with database.write() as connection:
        assert not await job_progress.finish(connection, begun, Outcome(JobState.SUCCEEDED), utc_now())


async def test_a_deadline_ends_a_job_that_nobody_has_begun(database: Database) -> None:
    job = await accept(database)
    late = job.deadline + timedelta(seconds=1)
    assert await begin(database, job, now=late) is None
    async with database.read() as connection:
        overdue = await looks.overdue(connection, before=late, limit=10)
    assert [one.public_id for one in overdue] == [job.id]
    async with database.write() as connection:
        look = await job_progress.look(connection, TENANT, job.id, late)
    assert look.state is JobState.FAILED


async def test_a_tenant_may_have_only_so_many_unfinished(database: Database) -> None:
    kept = [await accept(database) for _ in range(3)]
    with pytest.raises(Failure) as refused:
        await accept(database)
    assert refused.value.kind is FailureKind.THROTTLED
    async with database.write() as connection:
        await job_progress.stop(connection, TENANT, kept[0].id, utc_now())
    await accept(database)


async def test_what_the_engine_has_not_been_told_is_found_and_confirmed(database: Database) -> None:
    job = await accept(database, priority=2, name="n")

    async def behind() -> tuple[looks.Look, ...]:
        async with database.read() as connection:
            later = utc_now() + timedelta(seconds=1)
            return await looks.behind(connection, before=later, limit=10)

    [due] = await behind()
    assert (due.kind, due.name, due.priority) == ("job", "exec: n", 2)
    async with database.write() as connection:
        await looks.confirm(connection, due)
    assert await behind() == ()
    async with database.write() as connection:
        await jobs.cancel(connection, TENANT, job.id, now=utc_now(), actor="ada")
    assert len(await behind()) == 1, "the engine has to be told of a cancel, too"


async def test_an_effect_is_noted_before_it_begins_and_once(database: Database) -> None:
    job = await accept(database)
    first = await begin(database, job)
    assert first is not None

    async def note(begun: Begun) -> int | None:
        async with database.write() as connection:
            return await job_progress.begin_effect(connection, begun, "exec", utc_now())

    assert await note(first) is None
    second = await begin(database, job)
    assert second is not None
    assert await note(second) == 1


async def test_two_attempts_begun_at_once_have_two_numbers(database: Database) -> None:
    job = await accept(database)
    found = await asyncio.gather(*(begin(database, job) for _ in range(4)))
    assert sorted(one.attempt for one in found if one is not None) == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
async def test_contents_come_back_as_they_were(database: Database, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    sha256 = await contents.keep(database, TENANT, data, utc_now())
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert await contents.read(database, TENANT, sha256) == data
    with pytest.raises(Failure) as refused:
        await contents.read(database, "globex", sha256)
    assert refused.value.kind is FailureKind.NOT_FOUND


async def test_a_content_counts_only_when_all_of_it_is_there(database: Database) -> None:
    data = b"x" * (PIECE + 1)
    sha256 = contents.sha256_of(data)
    row = {"tenant": TENANT, "sha256": sha256, "bytes": len(data), "created_at": utc_now()}
    async with database.write() as connection:
        # As a process leaves it that dies in between.
        await connection.execute(contents.TABLE.insert().values(**row, ready=False))
    with pytest.raises(Failure):
        await contents.read(database, TENANT, sha256)
    assert await contents.keep(database, TENANT, data, utc_now()) == sha256
    assert await contents.read(database, TENANT, sha256) == data


async def test_the_same_content_kept_at_once_is_kept_once(database: Database) -> None:
    data = b"y" * (2 * PIECE)
    kept = await asyncio.gather(*(contents.keep(database, TENANT, data, utc_now()) for _ in range(5)))
    assert len(set(kept)) == 1
    assert await contents.read(database, TENANT, kept[0]) == data


async def test_contents_that_no_job_names_are_forgotten_after_a_day(database: Database) -> None:
    now = utc_now()
    names: dict[str, str] = {}
    for name in ("input", "output", "nobody", "fresh"):
        old = now if name == "fresh" else now - contents.LEFT_FOR - timedelta(hours=1)
        names[name] = await contents.keep(database, TENANT, name.encode(), old)
    job = await accept(database, files=[{"path": "x", "artifact": names["input"]}])
    begun = await begin(database, job)
    assert begun is not None
    outcome = Outcome(JobState.SUCCEEDED, made=(Made("o", names["output"], 6, "text/plain"),))
    async with database.write() as connection:
        await job_progress.finish(connection, begun, outcome, now)
    async with database.write() as connection:
        assert await contents.forget_unnamed(connection, now) == 1
    for name in ("input", "output", "fresh"):
        assert await contents.read(database, TENANT, names[name]) == name.encode()
    with pytest.raises(Failure):
        await contents.read(database, TENANT, names["nobody"])


async def test_a_content_that_a_job_asks_for_is_not_forgotten_in_between(database: Database) -> None:
    now = utc_now()
    old = now - contents.LEFT_FOR - timedelta(hours=1)
    sha256 = await contents.keep(database, TENANT, b"old", old)
    async with database.write() as connection:
        await contents.require(connection, TENANT, [sha256], now)
    async with database.write() as connection:
        assert await contents.forget_unnamed(connection, now) == 0
    assert await contents.read(database, TENANT, sha256) == b"old"


async def test_pages_of_jobs_neither_repeat_nor_hide(database: Database) -> None:
    kept = [await accept(database, labels={"n": str(n)}) for n in range(3)]
    found: list[str] = []
    cursor = None
    read: Callable[..., Awaitable[Page[Job]]] = jobs.page
    while True:
        async with database.read() as connection:
            page = await read(connection, TENANT, jobs.JobQuery(limit=1, cursor=cursor))
        found += [job.id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [job.id for job in reversed(kept)]
    async with database.read() as connection:
        [one] = (await read(connection, TENANT, jobs.JobQuery(labels=(("n", "1"),)))).items
    assert one.id == kept[1].id
