"""Plans end to end: real records, real Temporal, a real receiver; forty hours in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from receivers import Receiver
from stacks import TEMPORAL, TENANT, Stack, eventually, short_histories
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from minoots.contracts import NodeState, Plan, PlanCreate, PlanState
from minoots_activities.plans.adapter import Plans
from minoots_platform.clock import utc_now
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, attempts, deliveries, firing, plan_reading, plans
from minoots_platform.telemetry import Telemetry
from minoots_workflows.handover import Engine
from minoots_workflows.ids import workflow_id
from minoots_workflows.plans.contracts import PlanProgress
from minoots_workflows.plans.workflow import PlanWorkflow
from minoots_workflows.queues import Queue
from minoots_workflows.search_attributes import REGISTRY
from minoots_workflows.timers.contracts import FireOutcome, FireReport, FireRequest, TimerClose
from minoots_workflows.timers.port import TimersPort
from minoots_workflows.timers.workflow import TimerWorkflow


def node(url: str, name: str, *after: str, **more: Any) -> dict[str, Any]:
    timer = {"actions": [{"url": url}], "retry": more.pop("retry", {})}
    return {"id": name, "after": list(after), "timer": timer, **more}


async def accepted(database: Database, *nodes: dict[str, Any]) -> Plan:
    """Keep a plan, and tell nobody."""
    spec = PlanCreate.model_validate({"name": "release", "nodes": nodes})
    async with database.write() as connection:
        return await plans.accept(connection, TENANT, spec, now=utc_now(), actor="test", traceparent=None)


async def handed_over(stack: Stack, *nodes: dict[str, Any]) -> Plan:
    """Make a plan and hand it over."""
    plan = await accepted(stack.database, *nodes)
    assert await stack.handover.plan(plan.id)
    await stack.handover.timers_of(plan.id)
    return plan


async def get(database: Database, plan: Plan) -> Plan:
    async with database.read() as connection:
        return await plan_reading.get(connection, TENANT, plan.id)


def workflow(stack: Stack, plan: Plan) -> WorkflowHandle[PlanWorkflow, PlanProgress]:
    return stack.client.get_workflow_handle_for(PlanWorkflow.run, workflow_id("plan", TENANT, plan.id))


def fired(receiver: Receiver) -> list[str]:
    """The nodes in the order in which they arrived."""
    return [request.event["data"]["plan"]["node"] for request in receiver.requests]


async def test_nodes_fire_in_their_order_each_once(stack: Stack, receiver: Receiver) -> None:
    url = receiver.url
    plan = await handed_over(
        stack,
        node(url, "a"),
        node(url, "b", "a", delay="3s"),
        node(url, "c", "a"),
        node(url, "d", "b", "c"),
    )
    assert (await workflow(stack, plan).result()).state == PlanState.SETTLED
    assert fired(receiver) == ["a", "c", "b", "d"]


async def test_a_deadline_passes_although_nothing_ends(stack: Stack, receiver: Receiver) -> None:
    receiver.answers(500, 204)
    plan = await handed_over(
        stack,
        node(receiver.url, "a", deadline="1s", retry={"delays": ["60s"]}),
        node(receiver.url, "b", "a", when="failed"),
    )
    assert (await workflow(stack, plan).result()).state == PlanState.SETTLED
    found = await get(stack.database, plan)
    assert [one.state for one in found.nodes] == [NodeState.FAILED, NodeState.SUCCEEDED]
    assert found.nodes[0].due_at is not None
    assert found.nodes[0].ended_at is not None
    assert found.nodes[0].ended_at - found.nodes[0].due_at >= timedelta(seconds=1)


async def test_a_plan_behind_by_a_crash_is_started_by_the_reconciler(
    stack: Stack, receiver: Receiver
) -> None:
    # Accepted, and then the gateway died: nobody was told.
    spec = PlanCreate.model_validate(
        {"name": "release", "nodes": [node(receiver.url, "a"), node(receiver.url, "b", "a")]}
    )
    then = utc_now() - timedelta(seconds=5)
    async with stack.database.write() as connection:
        plan = await plans.accept(connection, TENANT, spec, now=then, actor="test", traceparent=None)
    await stack.handover.reconcile()
    assert (await workflow(stack, plan).result()).state == PlanState.SETTLED
    assert fired(receiver) == ["a", "b"]


async def test_a_plan_that_temporal_lost_goes_on(stack: Stack, receiver: Receiver) -> None:
    plan = await handed_over(stack, node(receiver.url, "a", delay="1s"), node(receiver.url, "b", "a"))
    await workflow(stack, plan).terminate()
    assert (
        await eventually(lambda: get(stack.database, plan), lambda found: found.state.final)
    ).state is PlanState.SETTLED
    assert fired(receiver) == ["a", "b"]


async def test_a_plan_is_readable_in_the_temporal_ui(stack: Stack, receiver: Receiver) -> None:
    plan = await handed_over(stack, node(receiver.url, "a", delay="60s"), node(receiver.url, "b", "a"))
    seen = await eventually(
        lambda: workflow(stack, plan).query(PlanWorkflow.state), lambda seen: bool(seen.nodes)
    )
    assert (seen.state, seen.begun, seen.ended, seen.nodes) == ("running", 1, 0, 2)
    assert await (await workflow(stack, plan).describe()).static_summary() == "release"


async def test_a_plan_goes_on_after_continuing_as_new(
    sqlite_database: Database, receiver: Receiver, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        chain = [node(receiver.url, "n0")]
        chain += [node(receiver.url, f"n{number}", f"n{number - 1}") for number in range(1, 15)]
        plan = await handed_over(stack, *chain)
        first_run = (await workflow(stack, plan).describe()).run_id
        await eventually(lambda: get(sqlite_database, plan), lambda found: found.state.final)
        described = await workflow(stack, plan).describe()
    assert described.run_id != first_run
    assert fired(receiver) == [f"n{number}" for number in range(15)]


class SucceedingAtOnce(TimersPort):
    """Fires in the records as if the receiver had answered at the due time. Time is skipped, so nothing may
    wait for real."""

    def __init__(self, database: Database, handover: HandOver) -> None:
        self._database = database
        self._handover = handover

    @activity.defn(name="timers.fire")
    async def fire(self, request: FireRequest) -> FireReport:
        at = request.fire_at
        async with self._database.write() as connection:
            spec = await firing.spec(connection, request.tenant, request.timer_id)
            claimed = await firing.claim(connection, spec, execution=activity.info().attempt, now=at)
            assert isinstance(claimed, firing.Claimed)
            outcomes = [
                attempts.Outcome(claim, at, at, 204, None, None, None, None) for claim in claimed.claims
            ]
            await deliveries.record(connection, request.tenant, outcomes, at)
        await self._handover.after_timer(request.timer_id, **spec.owners)
        return FireReport(outcome=FireOutcome.SETTLED)

    @activity.defn(name="timers.close")
    async def close(self, request: TimerClose) -> None:
        raise AssertionError("nothing is cancelled here")


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips time whenever nothing is under way in a workflow."""
    arguments = ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"]
    arguments += ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"']
    for name, kind in REGISTRY:
        arguments += ["--search-attribute", f"{name}={kind}"]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        dev_server_extra_args=arguments,
    ) as environment:
        yield environment


@pytest.mark.timeout(400)
@pytest.mark.parametrize("width", [6, pytest.param(25, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])])
async def test_many_nodes_of_forty_hours(
    skipping: WorkflowEnvironment, sqlite_database: Database, width: int
) -> None:
    layers = [[f"l{layer}n{number}" for number in range(width)] for layer in range(40)]
    nodes = [node("http://127.0.0.1:9/", name) for name in layers[0]]
    for before, layer in pairwise(layers):
        nodes += [node("http://127.0.0.1:9/", name, *before, delay="1h") for name in layer]
    handover = HandOver(sqlite_database, Engine(skipping.client))
    adapter = Plans(sqlite_database, handover, utc_now)
    timers = SucceedingAtOnce(sqlite_database, handover)
    async with (
        Worker(skipping.client, task_queue=Queue.CORE, workflows=[PlanWorkflow, TimerWorkflow]),
        Worker(skipping.client, task_queue=Queue.IO, activities=[adapter.advance, timers.fire, timers.close]),
    ):
        plan = await accepted(sqlite_database, *nodes)
        await handover.plan(plan.id)
        await handover.timers_of(plan.id)
        handle = skipping.client.get_workflow_handle_for(
            PlanWorkflow.run, workflow_id("plan", TENANT, plan.id)
        )
        async with asyncio.timeout(100 if width < 25 else 800):
            progress = await handle.result()
    assert (progress.state, progress.nodes, progress.ended) == ("settled", len(nodes), len(nodes))
    found = await get(sqlite_database, plan)
    assert found.counts == {NodeState.SUCCEEDED: len(nodes)}
    assert found.ended_at is not None
    assert found.ended_at - plan.created_at == timedelta(hours=39), "each layer counts from the one before"
