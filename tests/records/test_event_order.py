"""A reader that tails the log by number sees every event once, in order, however late it is committed."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
import sqlalchemy as sa
from stacks import TENANT

from minoots.contracts import EventType
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, events
from minoots_platform.records.events import NewEvent

WRITERS = 10
EACH = 12


class _ChangedMindError(Exception):
    """Makes a writing transaction roll back."""


def event(subject: str) -> NewEvent:
    """Something that happened."""
    return NewEvent(EventType.TIMER_SCHEDULED, subject, utc_now(), {"name": subject})


async def write(database: Database, writer: int, committed: list[str], chance: random.Random) -> None:
    """Append events in transactions of their own; some commit late, some not at all."""
    for number in range(EACH):
        subject = f"w{writer}-{number}"
        with suppress(_ChangedMindError):
            async with database.write() as connection:
                await events.append(connection, TENANT, [event(subject)])
                await asyncio.sleep(chance.random() * 0.004)
                if chance.random() < 0.2:
                    raise _ChangedMindError
            committed.append(subject)


async def tail(database: Database, done: asyncio.Event) -> list[tuple[int, str]]:
    """Read by number until the writers are done and nothing is left."""
    seen: list[tuple[int, str]] = []
    position = 0
    while True:
        finished = done.is_set()
        async with database.read() as connection:
            page = await events.read(connection, TENANT, after=position, limit=7)
        seen += [(found.sequence, found.subject) for found in page.events]
        position = page.position
        if finished and not page.events and not page.more:
            return seen
        await asyncio.sleep(0)


async def test_a_tailing_reader_skips_nothing_that_commits_late(database_url: str) -> None:
    async with Database(database_url, pool_size=WRITERS + 2) as database:
        committed: list[str] = []
        done = asyncio.Event()
        reading = asyncio.create_task(tail(database, done))
        chance = random.Random(7)
        await asyncio.gather(*(write(database, writer, committed, chance) for writer in range(WRITERS)))
        done.set()
        seen = await reading
    assert sorted(subject for _, subject in seen) == sorted(committed)
    assert [number for number, _ in seen] == list(range(1, len(committed) + 1)), "in order and without gaps"


async def test_numbers_taken_early_would_make_a_reader_skip(postgres_url: str) -> None:
    """The control: with a database sequence, the number of a late commit is passed over."""
    async with Database(postgres_url, pool_size=4) as database:
        async with database.write() as connection:
            await connection.execute(sa.text("CREATE SEQUENCE early"))
            await connection.execute(sa.text("CREATE TABLE log (number bigint PRIMARY KEY)"))
        insert = sa.text("INSERT INTO log VALUES (nextval('early')) RETURNING number")
        newer = sa.text("SELECT number FROM log WHERE number > :after ORDER BY number")
        async with database.write() as late:
            first = (await late.execute(insert)).scalar_one()
            async with database.write() as quick:
                second = (await quick.execute(insert)).scalar_one()
            async with database.read() as connection:
                seen = list((await connection.scalars(newer, {"after": 0})).all())
        async with database.read() as connection:
            seen += (await connection.scalars(newer, {"after": seen[-1]})).all()
    assert second in seen
    assert first not in seen


async def test_tenants_are_numbered_apart(database: Database) -> None:
    for tenant in (TENANT, "globex", TENANT):
        async with database.write() as connection:
            await events.append(connection, tenant, [event("a"), event("b")])
    async with database.read() as connection:
        assert await events.last_sequence(connection, TENANT) == 4
        assert await events.last_sequence(connection, "globex") == 2
        assert await events.last_sequence(connection, "nobody") == 0


@pytest.mark.parametrize("value", ["ops", "it's", 'say "hi"', "ü %_", "a:b"])
async def test_filters_by_type_subject_and_label(database: Database, value: str) -> None:
    plain = event("x")
    labelled = NewEvent(EventType.TIMER_FIRED, "y", utc_now(), {}, labels={"team": value})
    async with database.write() as connection:
        await events.append(connection, TENANT, [plain, labelled, plain])
    async with database.read() as connection:
        for wanted in (
            events.EventFilter(types=("timer.fired",)),
            events.EventFilter(subject="y"),
            events.EventFilter(labels=(("team", value),)),
        ):
            page = await events.read(connection, TENANT, after=0, limit=10, wanted=wanted)
            assert [found.subject for found in page.events] == ["y"]
            assert page.position == 3, "the reader goes on behind what it looked through"
        none = await events.read(
            connection, TENANT, after=0, limit=10, wanted=events.EventFilter(labels=(("team", "other"),))
        )
        assert none.events == ()
