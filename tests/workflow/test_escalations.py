"""Escalations end to end: real records, real Temporal, a real receiver; hours in milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from receivers import Receiver
from stacks import TEMPORAL, TENANT, Stack, eventually, short_histories
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from minoots.contracts import (
    Escalation,
    EscalationCreate,
    EscalationState,
    HeartbeatSave,
    PersonSave,
    PolicySave,
)
from minoots_activities.escalations.adapter import Escalations
from minoots_platform.clock import utc_now
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, documents, escalation_reading, escalations, heartbeats
from minoots_platform.records.escalations import Doing
from minoots_platform.telemetry import Telemetry
from minoots_workflows.escalations.contracts import EscalationProgress
from minoots_workflows.escalations.workflow import EscalationWorkflow
from minoots_workflows.heartbeats.workflow import HeartbeatWorkflow
from minoots_workflows.ids import workflow_id
from minoots_workflows.pacing import Subject
from minoots_workflows.queues import Queue


class Absent:
    """An engine that takes everything and does nothing: only the escalation's own workflow is looked at."""

    async def tell(self, **_: Any) -> None: ...
    async def deliver(self, **_: Any) -> bool:
        return True

    async def replay(self, **_: Any) -> None: ...
    async def schedule(self, **_: Any) -> None: ...
    async def look(self, **_: Any) -> None: ...


async def save(database: Database, kind: documents.Kind, spec: Any) -> None:
    async with database.write() as connection:
        await documents.save(
            connection,
            TENANT,
            kind,
            spec.id,
            spec.model_dump(mode="json", exclude={"id"}),
            now=utc_now(),
            actor="test",
        )


async def person(database: Database, name: str, url: str) -> None:
    await save(
        database, "person", PersonSave.model_validate({"id": name, "name": name, "contacts": [{"url": url}]})
    )


async def begun(
    database: Database, *rungs: dict[str, Any], now: datetime | None = None, **ladder: Any
) -> Escalation:
    """Begin an escalation, and tell no engine."""
    terms = ladder.pop("terms", {})
    spec = EscalationCreate.model_validate(
        {"name": "disk full", "ladder": {"rungs": rungs, **ladder}, "terms": terms}
    )
    async with database.write() as connection:
        return await escalations.accept(
            connection, TENANT, spec, now=now or utc_now(), actor="test", traceparent=None
        )


async def get(database: Database, escalation: Escalation) -> Escalation:
    async with database.read() as connection:
        return await escalation_reading.get(connection, TENANT, escalation.id)


async def do(stack: Stack, command: Any, escalation: Escalation, who: str, *arguments: Any) -> Escalation:
    """Let somebody do something, and hand it over."""
    async with stack.database.write() as connection:
        done: Escalation = await command(
            connection, TENANT, escalation.id, Doing(who, "api", utc_now()), *arguments
        )
    assert await stack.handover.escalation(escalation.id)
    return done


def workflow(stack: Stack, escalation: Escalation) -> WorkflowHandle[EscalationWorkflow, EscalationProgress]:
    return stack.client.get_workflow_handle_for(
        EscalationWorkflow.run, workflow_id("escalation", TENANT, escalation.id)
    )


async def test_a_ladder_is_climbed_until_it_is_acknowledged(stack: Stack, receiver: Receiver) -> None:
    for name in ("ada", "bob"):
        await person(stack.database, name, receiver.url)
    escalation = await begun(
        stack.database,
        {"targets": ["person:ada"]},
        {"after": "0.5s", "targets": ["person:bob"]},
        {"after": "60s", "targets": ["person:ada"]},
    )
    assert await stack.handover.escalation(escalation.id)
    await receiver.expect(2)
    await do(stack, escalations.acknowledge, escalation, "person:bob")
    assert (await workflow(stack, escalation).result()).state == "acknowledged"
    times = [notice.due_at for notice in (await get(stack.database, escalation)).notices]
    assert times[1] - times[0] == timedelta(seconds=0.5)
    for request, due in zip(receiver.requests, times, strict=False):
        assert request.at >= due.timestamp(), "never early"


async def test_an_acknowledgement_that_times_out_tells_them_again(stack: Stack, receiver: Receiver) -> None:
    await person(stack.database, "ada", receiver.url)
    escalation = await begun(
        stack.database, {"targets": ["person:ada"]}, terms={"resolve_within": "1s"}, patience="60s"
    )
    assert await stack.handover.escalation(escalation.id)
    await receiver.expect(1)
    await do(stack, escalations.acknowledge, escalation, "person:ada")
    await receiver.expect(2)
    found = await do(stack, escalations.resolve, escalation, "person:ada")
    assert (found.state, found.trigger) == (EscalationState.RESOLVED, 2)
    assert (await workflow(stack, escalation).result()).state == "resolved"


async def test_an_escalation_behind_by_a_crash_is_started_by_the_reconciler(
    stack: Stack, receiver: Receiver
) -> None:
    await person(stack.database, "ada", receiver.url)
    then = utc_now() - timedelta(seconds=4)
    escalation = await begun(stack.database, {"targets": ["person:ada"]}, now=then, patience="1s")
    await stack.handover.reconcile()
    await receiver.expect(1)
    assert (await workflow(stack, escalation).result()).state == "exhausted"


async def test_an_escalation_goes_on_after_continuing_as_new(
    sqlite_database: Database, receiver: Receiver, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        await person(sqlite_database, "ada", receiver.url)
        policy = {"id": "ops", "ladder": {"rungs": [{"targets": ["person:ada"]}]}}
        await save(sqlite_database, "policy", PolicySave.model_validate(policy))
        beat = {"id": "h", "name": "h", "every": "1h", "policy": "ops"}
        async with sqlite_database.write() as connection:
            await heartbeats.save(
                connection, TENANT, HeartbeatSave.model_validate(beat), now=utc_now(), actor="t"
            )
        await stack.handover.heartbeat(TENANT, "h")
        listening = stack.client.get_workflow_handle(workflow_id("heartbeat", TENANT, "h"))
        escalation = await begun(sqlite_database, {"targets": ["person:ada"]}, patience="1h")
        await stack.handover.escalation(escalation.id)
        first = (
            (await workflow(stack, escalation).describe()).run_id,
            (await listening.describe()).run_id,
        )
        for number in range(12):
            await do(stack, escalations.hand_on, escalation, "person:ada", "person:ada")
            await stack.handover.heartbeat(TENANT, "h")
            await receiver.expect(number + 2)
        later = (
            (await workflow(stack, escalation).describe()).run_id,
            (await listening.describe()).run_id,
        )
        await do(stack, escalations.resolve, escalation, "person:ada")
        assert (await workflow(stack, escalation).result()).state == "resolved"
    assert first[0] != later[0]
    assert first[1] != later[1]


async def test_a_removed_heartbeat_ends_its_workflow(stack: Stack) -> None:
    policy = {"id": "ops", "ladder": {"rungs": [{"targets": [{"url": "http://127.0.0.1:9/"}]}]}}
    await save(stack.database, "policy", PolicySave.model_validate(policy))
    spec = HeartbeatSave.model_validate({"id": "h", "name": "h", "every": "1h", "policy": "ops"})
    async with stack.database.write() as connection:
        await heartbeats.save(connection, TENANT, spec, now=utc_now(), actor="t")
        await heartbeats.beat(connection, TENANT, "h", now=utc_now(), actor="t")
    assert await stack.handover.heartbeat(TENANT, "h")
    handle = stack.client.get_workflow_handle_for(
        HeartbeatWorkflow.run, workflow_id("heartbeat", TENANT, "h")
    )
    seen = await eventually(lambda: handle.query(HeartbeatWorkflow.state), lambda seen: seen.state == "alive")
    assert seen.wake_at is not None
    async with stack.database.write() as connection:
        await heartbeats.remove(connection, TENANT, "h", now=utc_now(), actor="t")
    assert await stack.handover.heartbeat(TENANT, "h", "removed")
    assert (await handle.result()).state == "removed"


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips time whenever nothing is under way."""
    values = ("frontend.WorkflowTimeSkippingEnabled=true", 'history.timerProcessorMaxTimeShift="10ms"')
    arguments = [word for value in values for word in ("--dynamic-config-value", value)]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        dev_server_extra_args=arguments,
    ) as environment:
        yield environment


async def test_three_rungs_of_hours_pass_in_milliseconds(
    skipping: WorkflowEnvironment, sqlite_database: Database
) -> None:
    for name in ("ada", "bob", "eve"):
        await person(sqlite_database, name, "http://127.0.0.1:9/")
    escalation = await begun(
        sqlite_database,
        {"targets": ["person:ada"]},
        {"after": "2h", "targets": ["person:bob"], "repeat": 1, "every": "1h"},
        {"after": "3h", "targets": ["person:eve"]},
        patience="12h",
    )
    adapter = Escalations(
        sqlite_database,
        HandOver(sqlite_database, Absent()),
        lambda: activity.info().scheduled_time,
    )
    async with (
        Worker(skipping.client, task_queue=Queue.CORE, workflows=[EscalationWorkflow]),
        Worker(skipping.client, task_queue=Queue.IO, activities=[adapter.advance]),
    ):
        handle = await skipping.client.start_workflow(
            EscalationWorkflow.run,
            Subject(tenant=TENANT, id=escalation.id, name="disk full"),
            id=workflow_id("escalation", TENANT, escalation.id),
            task_queue=Queue.CORE,
        )
        assert (await handle.result()).state == "exhausted"
    found = await get(sqlite_database, escalation)
    hours = [round((notice.due_at - found.created_at) / timedelta(hours=1), 2) for notice in found.notices]
    assert [(notice.who, at) for notice, at in zip(found.notices, hours, strict=True)] == [
        ("person:ada", 0),
        ("person:bob", 2),
        ("person:bob", 3),
        ("person:eve", 6),
    ]
    assert found.ended_at is not None
    assert found.ended_at - found.created_at >= timedelta(hours=18)
