"""Jobs that ended long ago are forgotten with all that is theirs, and old rows of usage; nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from stacks import TENANT

from minoots.contracts import Job, JobEventType, JobState
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.forgetting import Forgetting
from minoots_platform.records import Database, contents, job_cleaning, job_progress, jobs, schema
from minoots_platform.records.job_cleaning import Keep
from minoots_platform.records.job_progress import Made, NewJobEvent, Outcome
from minoots_platform.settings import JobsSettings
from minoots_workers.parts import keep_of

NOW = utc_now()
LONG_AGO = NOW - timedelta(days=100)
MONTHS = timedelta(days=90)


async def ended(database: Database, at: datetime | None, **more: Any) -> Job:
    """Keep a job that ended at a moment with an event, an effect and an artifact; ``None``: it runs."""
    begin_at = at or LONG_AGO
    body = {"kind": "exec", "command": ["true"], **more}
    async with database.write() as connection:
        job = await jobs.accept(
            connection,
            TENANT,
            jobs.REQUEST.validate_python(body),
            jobs.Admission(100, timedelta(hours=1)),
            now=begin_at,
            actor="test",
            traceparent=None,
        )
        begun = await job_progress.begin(connection, TENANT, job.id, most_attempts=5, now=begin_at)
        assert begun is not None
        await job_progress.append(connection, begun, [NewJobEvent(JobEventType.LOG, {"text": "x"})], begin_at)
        await job_progress.begin_effect(connection, begun, "exec", begin_at)
    if at is not None:
        made = Made("out", await contents.keep(database, TENANT, b"made", at), 4, "text/plain")
        async with database.write() as connection:
            await job_progress.finish(connection, begun, Outcome(JobState.SUCCEEDED, made=(made,)), at)
    return job


async def rows_of(database: Database, job: Job) -> dict[str, int]:
    """How many rows of each table belong to a job."""
    found = {}
    async with database.read() as connection:
        for table in job_cleaning._PARTS:
            query = sa.select(sa.func.count()).where(table.c.job_id == job.id)
            found[table.name] = int((await connection.execute(query)).scalar_one())
    return {name: count for name, count in found.items() if count}


async def test_jobs_that_ended_long_ago_are_forgotten_with_all_that_is_theirs(database: Database) -> None:
    given = await contents.keep(database, TENANT, b"given", NOW)
    old = await ended(database, LONG_AGO, files=[{"path": "x", "artifact": given}])
    young, runs = await ended(database, NOW - timedelta(days=80)), await ended(database, None)
    before = await rows_of(database, young)
    assert {"job_events", "job_effects", "job_artifacts", "job_inputs"} == {
        *before,
        *(await rows_of(database, old)),
    }
    await Forgetting(database, Keep(jobs=MONTHS), lambda: NOW).forget_ended()
    async with database.read() as connection:
        with pytest.raises(Failure) as refused:
            await jobs.get(connection, TENANT, old.id)
        assert refused.value.kind is FailureKind.NOT_FOUND
        for kept in (young, runs):
            assert (await jobs.get(connection, TENANT, kept.id)).id == kept.id
    assert await rows_of(database, old) == {}
    assert await rows_of(database, young) == before
    # Its contents are named by nobody now, and go a day after they were wanted last.
    async with database.write() as connection:
        assert await contents.forget_unnamed(connection, NOW + contents.LEFT_FOR + timedelta(hours=1)) == 1


async def test_more_than_one_transaction_holds_are_forgotten(sqlite_database: Database) -> None:
    for _ in range(5):
        await ended(sqlite_database, LONG_AGO)
    async with sqlite_database.write() as connection:
        assert await job_cleaning.forget_ended(connection, NOW - MONTHS, limit=2) == 2
    await Forgetting(sqlite_database, Keep(jobs=MONTHS), lambda: NOW).forget_ended()
    async with sqlite_database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(schema.jobs))).scalar() == 0


async def test_old_rows_of_usage_are_forgotten(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(
            sa.insert(schema.model_usage),
            [
                {
                    "id": f"u{days}",
                    "tenant": TENANT,
                    "day": str((NOW - timedelta(days=days)).date()),
                    "created_at": NOW - timedelta(days=days),
                    "call_id": f"c{days}",
                    "key": "k",
                    "provider": "p",
                    "model": "m",
                    "local": True,
                    "outcome": "answered",
                    "input_tokens": 1,
                    "output_tokens": 1,
                    "cached_tokens": 0,
                    "cost_micros": 0,
                    "total_ms": 1,
                }
                for days in (1, 80, 100, 200)
            ],
        )
    await Forgetting(database, Keep(usage=MONTHS), lambda: NOW).forget_ended()
    async with database.read() as connection:
        left = await connection.scalars(sa.select(schema.model_usage.c.id).order_by("id"))
    assert list(left) == ["u1", "u80"]


async def test_whoever_says_nothing_keeps_everything(sqlite_database: Database) -> None:
    job = await ended(sqlite_database, LONG_AGO)
    await Forgetting(sqlite_database, Keep(), lambda: NOW).forget_ended()
    await Forgetting(
        sqlite_database, keep_of(JobsSettings(keep_days=0, keep_usage_days=0)), lambda: NOW
    ).forget_ended()
    async with sqlite_database.read() as connection:
        assert (await jobs.get(connection, TENANT, job.id)).id == job.id


def test_whatever_is_a_jobs_goes_with_it() -> None:
    """A new table with a job's number has to refer to the job, or it would be left behind."""
    parts = {table.name for table in job_cleaning._PARTS}
    beside = {"model_usage", "model_reservations"}  # kept by their own times
    named = {table.name for table in schema.metadata.tables.values() if "job_id" in table.c}
    assert named - beside <= parts
