"""Contents of jobs that begin later are kept until then, and forgotten when nothing may begin such a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from stacks import TENANT

from minoots.contracts import PersonSave, PlanCreate, PlanPatch, TimerCreate
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import Clock
from minoots_platform.forgetting import Forgetting
from minoots_platform.records import (
    Database,
    content_holds,
    contents,
    documents,
    plans,
    schedules,
    schema,
    timers,
)
from minoots_platform.records.job_cleaning import Keep

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)
DATA = b"words that a job will read"


def action(sha256: str, kind: str = "exec") -> dict[str, Any]:
    """Start a job that names a content."""
    if kind == "llm":
        job: dict[str, Any] = {"kind": "llm", "messages": [{"role": "user", "content": sha256}]}
    else:
        job = {"kind": "exec", "command": ["cat", "x"], "files": [{"path": "x", "artifact": sha256}]}
    return {"kind": "job", "config": {"job": job}}


async def keep(database: Database, data: bytes = DATA) -> str:
    """Hand something in."""
    return await contents.keep(database, TENANT, data, NOW)


async def kept(database: Database, sha256: str, now: datetime) -> bool:
    """Whether it is still there after somebody has cleaned up."""
    clock: Clock = lambda: now  # noqa: E731 - a clock that stands still
    await Forgetting(database, Keep(), clock).forget_contents()
    async with database.read() as connection:
        try:
            return bool(await contents.size(connection, TENANT, sha256))
        except Failure:
            return False


async def becomes(database: Database, table: sa.Table, row_id: str, state: str, at: datetime = NOW) -> None:
    """Something has come to a state."""
    async with database.write() as connection:
        changed = sa.update(table).where(table.c.id == row_id).values(state=state, updated_at=at)
        await connection.execute(changed)


@pytest.mark.parametrize("kind", ["exec", "llm"])
@pytest.mark.parametrize(("state", "after"), [("settled", 2), ("cancelled", 2), ("failed", 32)])
async def test_a_timer_holds_what_its_job_names_until_it_is_over(
    database: Database, kind: str, state: str, after: int
) -> None:
    sha256 = await keep(database)
    spec = TimerCreate.model_validate({"name": "t", "after": "20d", "actions": [action(sha256, kind)]})
    async with database.write() as connection:
        timer = await timers.accept(
            connection, TENANT, spec, fire_at=NOW + 20 * DAY, now=NOW, actor="test", traceparent=None
        )
    assert await kept(database, sha256, NOW + 19 * DAY)
    await becomes(database, schema.timers, timer.id, state, NOW + 20 * DAY)
    if state == "failed":
        assert await kept(database, sha256, NOW + 49 * DAY), "its dead letter may be replayed"
    assert not await kept(database, sha256, NOW + (20 + after) * DAY)


async def test_a_schedule_holds_it_beside_its_timers(sqlite_database: Database) -> None:
    database = sqlite_database
    sha256 = await keep(database)
    spec = TimerCreate.model_validate(
        {"name": "s", "schedule": {"rules": [{"every": "10d"}]}, "actions": [action(sha256)]}
    )
    async with database.write() as connection:
        first = await schedules.accept(connection, TENANT, spec, now=NOW, actor="test", traceparent=None)
    assert first.occurrence is not None
    async with database.write() as connection:
        await connection.execute(sa.update(schema.timers).values(state="settled"))
    assert await kept(database, sha256, NOW + 9 * DAY)
    await becomes(database, schema.schedules, first.occurrence.schedule_id, "ended")
    assert not await kept(database, sha256, NOW + 9 * DAY)


async def test_a_plan_holds_what_its_nodes_name_also_those_that_are_added(sqlite_database: Database) -> None:
    database = sqlite_database
    one, two = await keep(database), await keep(database, b"more words")
    nodes = [
        {"id": "a", "delay": "9d", "timer": {"name": "a", "actions": [{"url": "https://example.org/"}]}},
        {"id": "b", "after": ["a"], "timer": {"name": "b", "actions": [action(one)]}},
    ]
    added = {"id": "c", "after": ["a"], "timer": {"name": "c", "actions": [action(two)]}}
    async with database.write() as connection:
        spec = PlanCreate.model_validate({"name": "p", "nodes": nodes})
        plan = await plans.accept(connection, TENANT, spec, now=NOW, actor="test", traceparent=None)
        patch = PlanPatch.model_validate({"add": [added]})
        await plans.update(connection, TENANT, plan.id, patch, now=NOW, actor="test", if_generation=None)
    for sha256 in (one, two):
        assert await kept(database, sha256, NOW + 8 * DAY)
    await becomes(database, schema.plans, plan.id, "cancelled")
    for sha256 in (one, two):
        assert not await kept(database, sha256, NOW + 8 * DAY)


async def test_a_contact_holds_it_until_it_is_another_one(sqlite_database: Database) -> None:
    database = sqlite_database
    one, two = await keep(database), await keep(database, b"more words")

    async def save(*actions: dict[str, Any]) -> None:
        person = PersonSave.model_validate({"id": "ada", "name": "ada", "contacts": actions})
        wire = person.model_dump(mode="json", exclude={"id"})
        async with database.write() as connection:
            await documents.save(connection, TENANT, "person", "ada", wire, now=NOW, actor="test")

    await save(action(one))
    await save(action(two))
    assert not await kept(database, one, NOW + 2 * DAY)
    assert await kept(database, two, NOW + 2 * DAY)
    async with database.write() as connection:
        await documents.remove(connection, TENANT, "person", "ada", now=NOW, actor="test")
    assert not await kept(database, two, NOW + 2 * DAY)


async def test_what_is_not_there_is_refused_when_it_is_set(sqlite_database: Database) -> None:
    spec = TimerCreate.model_validate({"name": "t", "after": "1d", "actions": [action("0" * 64)]})
    async with sqlite_database.write() as connection:
        with pytest.raises(Failure, match="there is no content") as refused:
            await timers.accept(
                connection, TENANT, spec, fire_at=NOW + DAY, now=NOW, actor="test", traceparent=None
            )
    assert refused.value.kind is FailureKind.INVALID
    sha256 = await contents.keep(sqlite_database, "globex", DATA, NOW)
    async with sqlite_database.write() as connection:
        with pytest.raises(Failure, match="there is no content"):
            await content_holds.require(connection, TENANT, [action(sha256)], NOW)
