"""Who stands behind what was set long ago: a key, also by what it has begun, or the machine's own user."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from keys_held import hold, revoke
from stacks import TENANT

from minoots.contracts import EscalationCreate, HeartbeatSave, PolicySave
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import Database, authority, documents, escalations, heartbeats, schema


async def behind(database: Database, subject: str, tenant: str = TENANT, *, local: bool = False) -> str:
    """Who stands behind somebody."""
    async with database.read() as connection:
        found = await authority.behind(connection, tenant, subject, now=utc_now(), local=local)
    assert found.tenant == tenant
    return found.subject


async def test_a_key_stands_for_itself_until_it_ends(database: Database) -> None:
    await hold(database, {Scope.JOBS_WRITE})
    assert await behind(database, "test") == "test"
    with pytest.raises(Failure, match="is no key"):
        await behind(database, "test", "globex")
    async with database.write() as connection:
        past = utc_now() - timedelta(seconds=1)
        await connection.execute(sa.update(schema.api_keys).values(expires_at=past))
    with pytest.raises(Failure, match="has expired"):
        await behind(database, "test")
    await revoke(database)
    with pytest.raises(Failure, match="is revoked") as refused:
        await behind(database, "test")
    assert refused.value.kind is FailureKind.DENIED
    assert refused.value.remedy


async def test_an_escalation_of_a_heartbeat_is_that_of_whoever_has_set_the_heartbeat(
    sqlite_database: Database,
) -> None:
    database = sqlite_database
    await hold(database)
    policy = PolicySave.model_validate(
        {"id": "p", "ladder": {"rungs": [{"targets": [{"url": "https://example.org/"}]}]}}
    )
    now = utc_now()
    async with database.write() as connection:
        saved = policy.model_dump(mode="json", exclude={"id"})
        await documents.save(connection, TENANT, "policy", "p", saved, now=now, actor="other")
        beat = HeartbeatSave.model_validate({"id": "b", "name": "b", "every": "1s", "policy": "p"})
        await heartbeats.save(connection, TENANT, beat, now=now, actor="test")
        await heartbeats.beat(connection, TENANT, "b", now=now, actor="other")
    async with database.write() as connection:
        looked = await heartbeats.look(connection, TENANT, "b", now=now + timedelta(hours=1))
    assert looked.escalation_id is not None
    assert await behind(database, f"escalation/{looked.escalation_id}") == "test"
    assert await behind(database, "heartbeat/b") == "test"
    with pytest.raises(Failure, match="the escalation esc_1 is gone"):
        await behind(database, "escalation/esc_1")
    with pytest.raises(Failure, match="the heartbeat b is gone"):
        await behind(database, "heartbeat/b", "globex")


async def test_nobody_stands_behind_what_has_begun_itself(sqlite_database: Database) -> None:
    spec = EscalationCreate.model_validate(
        {"name": "e", "ladder": {"rungs": [{"targets": [{"url": "https://example.org/"}]}]}}
    )
    async with sqlite_database.write() as connection:
        begun = await escalations.accept(
            connection, TENANT, spec, now=utc_now(), actor="test", traceparent=None
        )
        itself = sa.update(schema.escalations).values(created_by=f"escalation/{begun.id}")
        await connection.execute(itself)
    with pytest.raises(Failure, match="is no key"):
        await behind(sqlite_database, f"escalation/{begun.id}")


async def test_without_a_key_only_the_machines_own_user_is_somebody(sqlite_database: Database) -> None:
    assert await behind(sqlite_database, "local", "dev", local=True) == "local"
    with pytest.raises(Failure, match="allow_dev_tenant is off"):
        await behind(sqlite_database, "local", "dev")
    with pytest.raises(Failure, match="without a key"):
        await behind(sqlite_database, "local", local=True)
    for subject in ("host/h", "conversation/c", "timer/t", ""):
        with pytest.raises(Failure, match="is no key"):
            await behind(sqlite_database, subject)
