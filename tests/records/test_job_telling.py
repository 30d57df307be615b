"""Telling of a job: nothing is lost, nothing comes twice, and little of it is a transaction."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from stacks import TENANT

from minoots.contracts import JobEvent, JobEventType, JobState
from minoots_activities.jobs.telling import Teller
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, job_progress, jobs


async def begun(database: Database) -> job_progress.Begun:
    """An attempt at a job."""
    admission = jobs.Admission(10, timedelta(minutes=10))
    request = jobs.REQUEST.validate_python({"kind": "exec", "command": ["true"]})
    async with database.write() as connection:
        job = await jobs.accept(
            connection, TENANT, request, admission, now=utc_now(), actor="test", traceparent=None
        )
        found = await job_progress.begin(connection, TENANT, job.id, most_attempts=5, now=utc_now())
    assert found is not None
    return found


async def told(database: Database, attempt: job_progress.Begun) -> tuple[JobEvent, ...]:
    """What was told after the beginning."""
    async with database.read() as connection:
        found = await jobs.events_after(
            connection, TENANT, attempt.job_id, after=attempt.first_event, limit=10_000
        )
    return found.items


async def test_every_word_is_told_once_whenever_it_comes(database: Database) -> None:
    attempt = await begun(database)
    teller = Teller(database, attempt, utc_now, 10_000_000)
    words = [f"{number} " for number in range(3000)]
    async with teller.telling():
        for number, word in enumerate(words):
            await teller.token(word)
            if number % 50 == 0:
                await asyncio.sleep(random.random() / 100)
    found = await told(database, attempt)
    assert "".join(event.data["text"] for event in found) == "".join(words)
    assert len(found) < 1000


async def test_one_that_is_cancelled_while_it_tells_loses_nothing_and_repeats_nothing(
    database: Database,
) -> None:
    attempt = await begun(database)
    teller = Teller(database, attempt, utc_now, 10_000_000)
    said: list[str] = []

    async def tell() -> None:
        async with teller.telling():
            while True:
                said.append(f"{len(said)} ")
                await teller.token(said[-1])
                await asyncio.sleep(0)

    telling = asyncio.create_task(tell())
    async with asyncio.timeout(60):
        while not await told(database, attempt) or len(said) < 500:
            await asyncio.sleep(0)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    found = "".join(event.data["text"] for event in await told(database, attempt))
    assert "".join(said).startswith(found)


async def test_characters_divided_between_two_reads_stay_whole(database: Database) -> None:
    attempt = await begun(database)
    teller = Teller(database, attempt, utc_now, 10_000_000)
    for byte in "aé€😀\x00b".encode():
        await teller.log("stdout", bytes([byte]))
    await teller.log("stderr", b"\xff")
    await teller.flush()
    texts = {event.data["stream"]: event.data["text"] for event in await told(database, attempt)}
    assert texts == {"stdout": "aé€😀\ufffdb", "stderr": "\ufffd"}


async def test_beyond_a_size_what_is_written_is_left_out_and_the_rest_is_told(database: Database) -> None:
    attempt = await begun(database)
    teller = Teller(database, attempt, utc_now, 1000)
    await teller.log("stdout", b"x" * 2000)
    await teller.flush()
    await teller.log("stdout", b"y" * 2000)
    await teller.tell(JobEventType.STATUS, {"still": True})
    found = await told(database, attempt)
    assert [event.type for event in found] == [
        JobEventType.LOG,
        JobEventType.STATUS,
        JobEventType.STATUS,
    ]
    assert found[1].data["cut"] is True
    assert found[2].data == {"still": True}


async def test_who_is_overtaken_learns_of_it(database: Database) -> None:
    attempt = await begun(database)
    teller = Teller(database, attempt, utc_now, 1000)
    async with database.write() as connection:
        await job_progress.stop(connection, TENANT, attempt.job_id, utc_now())
    await teller.log("stdout", b"x")
    await teller.flush()
    assert teller.unwanted.is_set()
    async with database.read() as connection:
        assert (await jobs.get(connection, TENANT, attempt.job_id)).state is JobState.CANCELLED
    assert [event.type for event in await told(database, attempt)] == [JobEventType.STATUS]
