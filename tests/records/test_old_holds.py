"""What timers, schedules, plans and people named before holds were kept is held after the migration."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from stacks import TENANT

from minoots.contracts import PersonSave, PlanCreate, TimerCreate
from minoots_platform.records import Database, contents, documents, plans, schedules, schema, timers
from minoots_platform.records.migrate import migrate

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
PLAIN = {"url": "https://example.org/"}


def with_file(sha256: str) -> dict[str, Any]:
    """A program with a file."""
    job = {"kind": "exec", "command": ["cat", "x"], "files": [{"path": "x", "artifact": sha256}]}
    return {"kind": "job", "config": {"job": job}}


def with_image(sha256: str) -> dict[str, Any]:
    """A question with a picture."""
    message = {"role": "user", "text": "what is it?", "images": [sha256]}
    return {"kind": "job", "config": {"job": {"kind": "llm", "messages": [message]}}}


async def test_what_was_set_before_is_held_after(database: Database) -> None:
    kept = [await contents.keep(database, TENANT, bytes([number]), NOW) for number in range(7)]
    ids: dict[str, str] = {}
    about: dict[str, Any] = {"now": NOW, "actor": "test", "traceparent": None}
    async with database.write() as connection:
        for name, actions in {
            "waits": [PLAIN, with_file(kept[0]), with_image(kept[1])],
            "over": [with_file(kept[2])],
            "failed": [with_file(kept[3])],
            "plain": [PLAIN],
        }.items():
            spec = TimerCreate.model_validate({"name": name, "after": "9d", "actions": actions})
            timer = await timers.accept(connection, TENANT, spec, fire_at=NOW, **about)
            ids[name] = timer.id
        for name, state in {"over": "settled", "failed": "failed"}.items():
            changed = sa.update(schema.timers).where(schema.timers.c.id == ids[name])
            await connection.execute(changed.values(state=state))
        rules = {"rules": [{"every": "10d"}]}
        spec = TimerCreate.model_validate({"name": "s", "schedule": rules, "actions": [with_file(kept[4])]})
        first = await schedules.accept(connection, TENANT, spec, **about)
        assert first.occurrence is not None
        nodes = [{"id": "a", "delay": "9d", "timer": {"actions": [with_file(kept[5])]}}]
        plan = await plans.accept(
            connection, TENANT, PlanCreate.model_validate({"name": "p", "nodes": nodes}), **about
        )
        person = {"id": "ada", "name": "Ada", "contacts": [with_file(kept[6])]}
        saved = PersonSave.model_validate(person).model_dump(mode="json", exclude={"id"})
        await documents.save(connection, TENANT, "person", "ada", saved, now=NOW, actor="test")
        # As it was when nobody held anything.
        await connection.execute(sa.delete(schema.content_holds))

    scripts = Config()
    scripts.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    def take_back(connection: sa.Connection) -> None:
        scripts.attributes["connection"] = connection
        command.downgrade(scripts, "0020")

    async with database.write() as connection:
        await connection.run_sync(take_back)
    await migrate(database)
    async with database.read() as connection:
        found = await connection.execute(sa.select(schema.content_holds))
        held = {(row.kind, row.holder, row.sha256) for row in found if row.tenant == TENANT}
        node = (await connection.execute(sa.select(schema.plan_nodes))).one()
    # The first timers of the schedule and of the plan name it themselves, too.
    of_timers = {("timer", ids["waits"], kept[0]), ("timer", ids["waits"], kept[1])}
    of_timers |= {("timer", ids["failed"], kept[3])}
    of_timers |= {("timer", first.id, kept[4]), ("timer", str(node.timer_id), kept[5])}
    others = {
        ("schedule", first.occurrence.schedule_id, kept[4]),
        ("plan", plan.id, kept[5]),
        ("person", "ada", kept[6]),
    }
    assert held == of_timers | others
    assert node.created_by is None
