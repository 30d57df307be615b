"""Record the histories that the replay suite runs: ``python tests/replay/record.py``.

Writes only files that do not exist yet, so that histories of older code stay. Delete one to record it anew.
"""

from __future__ import annotations

import asyncio
import json
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import agents_at_work
import standing
import working
from capturing import CapturingHost, Chat, capturing
from ingesting import ended, send
from model_servers import model_server
from receivers import Receiver, receiving
from slow_sandboxes import SlowSandboxes, slowly
from slow_sandboxes import cancelled as operator_cancelled
from stacks import TENANT, Stack, eventually, stack_of
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from minoots.contracts import (
    DestinationSave,
    EscalationCreate,
    HeartbeatSave,
    Job,
    JobState,
    PersonSave,
    PlanCreate,
    PolicySave,
    ReplayFilter,
    Sandbox,
    TimerCreate,
    TimerState,
)
from minoots_platform.clock import utc_now
from minoots_platform.records import (
    Database,
    deliveries,
    destination_commands,
    documents,
    escalations,
    heartbeats,
    plans,
    replays,
    schedules,
    tenants,
)
from minoots_platform.records.commands import CancelIt, FireNow, Pause, Reschedule, Resume, SnoozeBy
from minoots_platform.records.migrate import migrate
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import start_telemetry
from minoots_workflows.checks.asking import ask
from minoots_workflows.checks.contracts import CheckStart
from minoots_workflows.heartbeats.workflow import HeartbeatWorkflow
from minoots_workflows.ids import workflow_id
from minoots_workflows.plans.workflow import PlanWorkflow
from minoots_workflows.sandboxes.contracts import SandboxDoes
from minoots_workflows.schedules.workflow import ScheduleWorkflow
from minoots_workflows.search_attributes import REGISTRY
from minoots_workflows.timers.contracts import Phase
from minoots_workflows.timers.workflow import TimerWorkflow

HISTORIES = Path(__file__).parent / "histories"
AGENT = "agent:latest"
TURNS = [
    {**turn, "model": AGENT}
    for turn in agents_at_work.script(
        [agents_at_work.call("run", command="echo hello"), agents_at_work.call("sleep", seconds=0.2)],
        agents_at_work.call("sleep", seconds=3600),
        "done",
    )
]


async def settled(stack: Stack, receiver: Receiver) -> str:
    """The happy path."""
    timer = await stack.set(receiver.url, after=0.6)
    await stack.workflow(timer).result()
    return workflow_id("timer", TENANT, timer.id)


async def changed(stack: Stack, receiver: Receiver) -> str:
    """Every update: rescheduled, snoozed, paused, resumed, fired by hand."""
    timer = await stack.set(receiver.url, after=60)
    await stack.command(timer, Reschedule(fire_at=utc_now() + timedelta(seconds=90)))
    await stack.command(timer, SnoozeBy(timedelta(seconds=120)))
    await stack.command(timer, Pause())
    await stack.command(timer, Resume())
    await stack.command(timer, FireNow())
    await stack.workflow(timer).result()
    return workflow_id("timer", TENANT, timer.id)


async def cancelled(stack: Stack, receiver: Receiver) -> str:
    """Cancelled while it waited."""
    timer = await stack.set(receiver.url, after=60)
    await stack.command(timer, CancelIt())
    await stack.workflow(timer).result()
    return workflow_id("timer", TENANT, timer.id)


async def overtaken(stack: Stack, receiver: Receiver) -> str:
    """Moved in the last stretch without the engine being told."""
    timer = await stack.set(receiver.url, after=1)
    await eventually(
        lambda: stack.workflow(timer).query(TimerWorkflow.state), lambda seen: seen.phase is Phase.FIRING
    )
    await stack.change(timer, Reschedule(fire_at=timer.fire_at + timedelta(seconds=2)))
    await stack.workflow(timer).result()
    return workflow_id("timer", TENANT, timer.id)


async def terminated_in_temporal(stack: Stack, receiver: Receiver) -> str:
    """Cancelled by an operator in the Temporal UI."""
    timer = await stack.set(receiver.url, after=60)
    await stack.workflow(timer).cancel()
    await stack.reaches(timer, TimerState.CANCELLED)
    return workflow_id("timer", TENANT, timer.id)


async def retried(stack: Stack, receiver: Receiver) -> str:
    """The receiver failed twice; the history is the timer's."""
    receiver.answers(500, 500, 204)
    timer = await stack.set(receiver.url, retry={"delays": ["0.5s", "0.5s"]})
    await stack.workflow(timer).result()
    return workflow_id("timer", TENANT, timer.id)


async def delivered(stack: Stack, receiver: Receiver) -> str:
    """The receiver failed twice; the history is the delivery's."""
    timer_id = (await retried(stack, receiver)).rsplit(":", 1)[1]
    async with stack.database.read() as connection:
        [row] = await deliveries.of_timer(connection, timer_id)
    return workflow_id("delivery", TENANT, row.id)


async def replayed(stack: Stack, receiver: Receiver) -> str:
    """A replay by filter over two pages."""
    receiver.answers(400)
    for _ in range(4):
        timer = await stack.set(receiver.url, actions=[{"url": receiver.url}] * 16)
        await stack.reaches(timer, TimerState.FAILED)
    receiver.answers(204)
    async with stack.database.write() as connection:
        replay = await replays.start(
            connection, TENANT, ReplayFilter(timer_name="t"), now=utc_now(), actor="ops"
        )
    await stack.handover.replay(TENANT, replay.id)
    public_id = workflow_id("replay", TENANT, replay.id)
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def scheduled(stack: Stack, receiver: Receiver, **schedule: Any) -> str:
    """Set a schedule and hand it over; return its id."""
    spec = TimerCreate.model_validate(
        {"name": "tick", "schedule": schedule, "actions": [{"url": receiver.url}]}
    )
    async with stack.database.write() as connection:
        timer = await schedules.accept(connection, TENANT, spec, now=utc_now(), actor="ops", traceparent=None)
    assert timer.occurrence is not None
    await stack.handover.schedule(TENANT, timer.occurrence.schedule_id)
    await stack.handover.timers_of(timer.occurrence.schedule_id)
    return timer.occurrence.schedule_id


async def schedule_ended(stack: Stack, receiver: Receiver) -> str:
    """A schedule that slept, advanced and reached its count."""
    public_id = workflow_id(
        "schedule", TENANT, await scheduled(stack, receiver, rules=[{"every": "1s"}], count=24)
    )
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def schedule_changed(stack: Stack, receiver: Receiver) -> str:
    """Paused, resumed, and cancelled."""
    schedule_id = await scheduled(stack, receiver, rules=[{"every": "1h"}])
    public_id = workflow_id("schedule", TENANT, schedule_id)
    handle = stack.client.get_workflow_handle_for(ScheduleWorkflow.run, public_id)
    for command, state in ((schedules.pause, "paused"), (schedules.resume, "active")):
        async with stack.database.write() as connection:
            await command(connection, TENANT, schedule_id, now=utc_now(), actor="ops")
        await stack.handover.schedule(TENANT, schedule_id)
        await eventually(
            lambda: handle.query(ScheduleWorkflow.state), lambda seen, state=state: seen.state == state
        )
    async with stack.database.write() as connection:
        await schedules.cancel(connection, TENANT, schedule_id, None, now=utc_now(), actor="ops")
    await stack.handover.schedule(TENANT, schedule_id)
    await handle.result()
    return public_id


async def planned(stack: Stack, *nodes: dict[str, Any]) -> str:
    """Make a plan and hand it over; return the id of its workflow."""
    spec = PlanCreate.model_validate({"name": "release", "nodes": nodes})
    async with stack.database.write() as connection:
        plan = await plans.accept(connection, TENANT, spec, now=utc_now(), actor="ops", traceparent=None)
    await stack.handover.plan(plan.id)
    await stack.handover.timers_of(plan.id)
    return workflow_id("plan", TENANT, plan.id)


def node(receiver: Receiver, name: str, *after: str, **more: Any) -> dict[str, Any]:
    """A node with one webhook."""
    return {"id": name, "after": after, "timer": {"actions": [{"url": receiver.url}]}, **more}


async def plan_settled(stack: Stack, receiver: Receiver) -> str:
    """A diamond, with a race and a node that is skipped."""
    public_id = await planned(
        stack,
        node(receiver, "a"),
        node(receiver, "b", "a", race="r"),
        node(receiver, "c", "a", race="r", delay="60s"),
        node(receiver, "d", "b", "c", join="any"),
        node(receiver, "e", "d", when="failed"),
    )
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def plan_late(stack: Stack, receiver: Receiver) -> str:
    """A deadline passed; then somebody cancelled the rest."""
    receiver.answers(500, 204)
    late = node(receiver, "a", deadline="1s")
    public_id = await planned(stack, late, node(receiver, "b", "a", when="failed", delay="60s"))
    handle = stack.client.get_workflow_handle_for(PlanWorkflow.run, public_id)
    await eventually(lambda: handle.query(PlanWorkflow.state), lambda seen: seen.ended == 1)
    plan_id = public_id.rsplit(":", 1)[1]
    async with stack.database.write() as connection:
        await plans.cancel(connection, TENANT, plan_id, None, now=utc_now(), actor="ops", if_generation=None)
    await stack.handover.plan(plan_id)
    await handle.result()
    return public_id


async def told(stack: Stack, receiver: Receiver) -> None:
    """Save a person and a policy that tells them."""
    person = {"name": "Ada", "contacts": [{"url": receiver.url}]}
    policy = {"ladder": {"rungs": [{"targets": ["person:ada"]}, {"after": "1s", "targets": ["person:ada"]}]}}
    async with stack.database.write() as connection:
        for kind, name, spec in (
            ("person", "ada", PersonSave.model_validate({"id": "ada", **person})),
            ("policy", "ops", PolicySave.model_validate({"id": "ops", **policy})),
        ):
            wire = spec.model_dump(mode="json", exclude={"id"})
            await documents.save(connection, TENANT, kind, name, wire, now=utc_now(), actor="ops")


async def escalation_resolved(stack: Stack, receiver: Receiver) -> str:
    """Two rungs, an acknowledgement that timed out, told again, and resolved."""
    await told(stack, receiver)
    spec = EscalationCreate.model_validate(
        {"name": "disk full", "policy": "ops", "terms": {"resolve_within": "1s"}}
    )
    async with stack.database.write() as connection:
        made = await escalations.accept(
            connection, TENANT, spec, now=utc_now(), actor="ops", traceparent=None
        )
    public_id = workflow_id("escalation", TENANT, made.id)
    await stack.handover.escalation(made.id)
    await receiver.expect(2)
    for command, count in ((escalations.acknowledge, 3), (escalations.resolve, 3)):
        async with stack.database.write() as connection:
            await command(connection, TENANT, made.id, escalations.Doing("person:ada", "api", utc_now()))
        await stack.handover.escalation(made.id)
        await receiver.expect(count)
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def heartbeat_silent(stack: Stack, receiver: Receiver) -> str:
    """Called, silent, called again, removed."""
    await told(stack, receiver)
    beat = {"id": "backup", "name": "backup", "every": "1s", "grace": 0, "policy": "ops"}
    async with stack.database.write() as connection:
        await heartbeats.save(
            connection, TENANT, HeartbeatSave.model_validate(beat), now=utc_now(), actor="ops"
        )
    handle = stack.client.get_workflow_handle_for(
        HeartbeatWorkflow.run, workflow_id("heartbeat", TENANT, "backup")
    )
    for state in ("alive", "silent"):
        async with stack.database.write() as connection:
            await heartbeats.beat(connection, TENANT, "backup", now=utc_now(), actor="ops")
        await stack.handover.heartbeat(TENANT, "backup")
        await eventually(
            lambda: handle.query(HeartbeatWorkflow.state), lambda seen, state=state: seen.state == state
        )
    async with stack.database.write() as connection:
        await heartbeats.remove(connection, TENANT, "backup", now=utc_now(), actor="ops")
    await stack.handover.heartbeat(TENANT, "backup", "removed")
    await handle.result()
    return workflow_id("heartbeat", TENANT, "backup")


async def timer_awaiting(stack: Stack, receiver: Receiver) -> str:
    """It fired, and somebody has to acknowledge it."""
    timer = await stack.set(receiver.url, acknowledge={"within": "60s"})
    await stack.workflow(timer).result()
    return workflow_id("timer", TENANT, timer.id)


async def captured(stack: Stack, receiver: Receiver) -> str:
    """A chat that is recorded, stopped, and goes quiet."""
    with tempfile.TemporaryDirectory() as folder:
        async with capturing(stack, Path(folder), idle=1) as host:
            chat = host.chat()
            await recorded_and_stopped(host, chat)
            public_id = workflow_id("capture", TENANT, chat.id)
            await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def written(stack: Stack, receiver: Receiver) -> str:
    """The file that a chat is recorded into."""
    with tempfile.TemporaryDirectory() as folder:
        async with capturing(stack, Path(folder)) as host:
            chat = host.chat("22220000-0000-4000-8000-000000000002")
            await recorded_and_stopped(host, chat)
            row = await host.recording(chat)
            assert row is not None
            public_id = workflow_id("writer", TENANT, row.path_key)
            await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def recorded_and_stopped(host: CapturingHost, chat: Chat) -> None:
    """Record a chat, and stop."""
    chat.say("::record-notes\nhello")
    chat.answer("one")
    await host.recorded(chat, "one")
    chat.answer("two")
    await host.recorded(chat, "two")
    chat.say("::stop")
    await eventually(lambda: host.recording(chat), lambda row: row is not None and row.state == "stopped")


async def check_unwell(stack: Stack, receiver: Receiver) -> str:
    """A webhook of whose host nothing takes connections."""
    action = b'{"kind": "webhook", "url": "http://127.0.0.1:9/hook"}'
    sealed = stack.vault.encrypt(action).decode()
    start = CheckStart(tenant=TENANT, kind="webhook", sealed=sealed)
    answer = await ask(stack.client, start, "chk_1")
    assert answer.error == "connect"
    return workflow_id("check", TENANT, "chk_1")


async def ingested(stack: Stack, receiver: Receiver) -> str:
    """Files that are taken in, and one that cannot be read."""
    files: dict[str, bytes | str] = {f"notes/{n}.md": f"# {n}\n\nSome words." for n in range(6)}
    ingest = await send(stack, files | {"junk": bytes(range(256)) * 8})
    await ended(stack, ingest)
    return workflow_id("ingest", TENANT, ingest.id)


async def job_history(stack: Stack, job: Job) -> str:
    """The id of a job's workflow, once that has ended."""
    public_id = workflow_id("job", TENANT, job.id)
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


def program(script: str) -> dict[str, Any]:
    """A job that runs a script."""
    return {"kind": "exec", "tier": "process", "command": ["sh", "-c", script]}


async def job_exec(stack: Stack, receiver: Receiver) -> str:
    """A program that runs to its end."""
    return await job_history(stack, await working.submit(stack, **program("echo hello")))


async def job_llm(stack: Stack, receiver: Receiver) -> str:
    """A question to a model."""
    job = await working.submit(stack, kind="llm", messages=[{"role": "user", "text": "hello"}])
    return await job_history(stack, job)


async def job_cancelled(stack: Stack, receiver: Receiver) -> str:
    """Cancelled while its program runs."""
    job = await working.submit(stack, **program("sleep 600"))
    await working.reaches(stack, job, JobState.RUNNING)
    await working.cancel(stack, job)
    return await job_history(stack, job)


async def job_late(stack: Stack, receiver: Receiver) -> str:
    """Its deadline passes while its program runs."""
    deadline = (utc_now() + timedelta(seconds=2)).isoformat()
    job = await working.submit(stack, **program("sleep 600"), deadline=deadline, on_lost="rerun")
    return await job_history(stack, job)


async def job_cancelled_in_temporal(stack: Stack, receiver: Receiver) -> str:
    """Its workflow is cancelled by an operator while its program runs."""
    job = await working.submit(stack, **program("sleep 600"))
    await working.reaches(stack, job, JobState.RUNNING)
    public_id = workflow_id("job", TENANT, job.id)
    await stack.client.get_workflow_handle(public_id).cancel()
    await working.ended(stack, job)
    with suppress(WorkflowFailureError):
        await stack.client.get_workflow_handle(public_id).result()
    return public_id


def agent(**more: Any) -> dict[str, Any]:
    """A job of an agent whose model plays the script of agents below."""
    tools = [{"name": "run"}, {"name": "sleep"}]
    return {"kind": "agent", "task": "go", "model": AGENT, "tier": "process", "tools": tools, **more}


async def job_agent(stack: Stack, receiver: Receiver) -> str:
    """An agent that asks leave for a command, sleeps, is woken by a message, and ends."""
    job = await working.submit(stack, **agent())
    await agents_at_work.asks(stack, job)
    await agents_at_work.decide(stack, job, 1, approved=True)
    await eventually(
        lambda: agents_at_work.seen(stack, job),
        lambda one: bool(one.agent and one.agent.turns == 2 and one.agent.wakes_at),
    )
    await agents_at_work.message(stack, job, "wake up")
    return await job_history(stack, job)


async def job_agent_cancelled(stack: Stack, receiver: Receiver) -> str:
    """An agent that is cancelled while it waits for somebody."""
    job = await working.submit(stack, **agent())
    await agents_at_work.asks(stack, job)
    await working.cancel(stack, job)
    return await job_history(stack, job)


async def sandbox_closed(stack: Stack, receiver: Receiver) -> str:
    """Opened, used, suspended, resumed, a snapshot taken, closed."""
    sandbox = await standing.opened(stack)
    await standing.put(stack, sandbox, "a", b"1")
    for does in (SandboxDoes.SUSPEND, SandboxDoes.RESUME, SandboxDoes.SNAPSHOT):
        await standing.use(stack, sandbox, does)
    await standing.close(stack, sandbox)
    return await sandbox_history(stack, sandbox)


async def sandbox_begun_again(stack: Stack, receiver: Receiver) -> str:
    """Lost with its worker, begun again in another, closed at the end of its lifetime."""
    sandbox = await standing.opened(stack, keep=True)
    await standing.held(stack, sandbox)
    await stack.stop_workers()
    await stack.start_workers()
    await eventually(lambda: standing.get(stack, sandbox), lambda found: found.opened == 2, 90)
    await standing.aged(stack, sandbox, expires_at=utc_now())
    return await sandbox_history(stack, sandbox)


async def sandbox_failed(stack: Stack, receiver: Receiver) -> str:
    """More memory than anybody may have."""
    sandbox = await standing.want(stack, limits={"memory_mb": 1_000_000})
    await stack.handover.sandbox(sandbox.id)
    return await sandbox_history(stack, sandbox)


async def sandbox_cancelled_in_temporal(stack: Stack, receiver: Receiver) -> str:
    """Its workflow is cancelled by an operator."""
    sandbox = await standing.opened(stack)
    await standing.held(stack, sandbox)
    handle = stack.client.get_workflow_handle(workflow_id("sandbox", TENANT, sandbox.id))
    await handle.cancel()
    with suppress(WorkflowFailureError):
        await handle.result()
    return workflow_id("sandbox", TENANT, sandbox.id)


async def sandbox_cancelled_while_it_ends(stack: Stack, receiver: Receiver) -> str:
    """Its workflow is cancelled by an operator while it is ended."""
    async with slowly(stack, opens=True) as slow:
        sandbox = await standing.opened(stack)
        await standing.close(stack, sandbox)
        await slow.closing.wait()
        return await cancelled_in_between(stack, sandbox, slow)


async def sandbox_cancelled_while_it_opens(stack: Stack, receiver: Receiver) -> str:
    """Its workflow is cancelled by an operator while its opening is called off."""
    async with slowly(stack, opens=False) as slow:
        sandbox = await standing.want(stack)
        await stack.handover.sandbox(sandbox.id)
        handle = stack.client.get_workflow_handle(workflow_id("sandbox", TENANT, sandbox.id))
        await eventually(handle.describe, lambda found: len(found.raw_description.pending_activities) == 1)
        await stack.handover.sandbox(sandbox.id, "looked at")
        await slow.called_off.wait()
        return await cancelled_in_between(stack, sandbox, slow)


async def cancelled_in_between(stack: Stack, sandbox: Sandbox, slow: SlowSandboxes) -> str:
    """Have an operator cancel what is under way, and let it end."""
    public_id = workflow_id("sandbox", TENANT, sandbox.id)
    handle = stack.client.get_workflow_handle(public_id)
    await operator_cancelled(handle)
    slow.may_end.set()
    with suppress(WorkflowFailureError):
        await handle.result()
    return public_id


async def sandbox_history(stack: Stack, sandbox: Sandbox) -> str:
    """The id of a sandbox's workflow, once that has ended."""
    public_id = workflow_id("sandbox", TENANT, sandbox.id)
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


async def job_in_sandbox(stack: Stack, receiver: Receiver) -> str:
    """A program in a sandbox that stands."""
    sandbox = await standing.opened(stack)
    job = await working.submit(stack, kind="exec", sandbox=sandbox.id, command=["echo", "hello"])
    return await job_history(stack, job)


async def job_in_lost_sandbox(stack: Stack, receiver: Receiver) -> str:
    """A program whose sandbox is lost while it runs."""
    sandbox = await standing.opened(stack)
    job = await working.submit(stack, kind="exec", sandbox=sandbox.id, command=["sleep", "600"])
    await working.reaches(stack, job, JobState.RUNNING)
    await stack.stop_workers()
    await stack.start_workers()
    return await job_history(stack, job)


async def delivery_waiting(stack: Stack, receiver: Receiver) -> str:
    """It waits for its destination's circuit, and is told when that is closed; the history is its own."""
    async with stack.database.write() as connection:
        wanted = DestinationSave(url=receiver.url)
        one, _ = await destination_commands.save(connection, TENANT, wanted, now=utc_now(), actor="t")
        await destination_commands.open_circuit(
            connection, TENANT, one.id, reason=None, now=utc_now(), actor="t"
        )
    timer = await stack.set(receiver.url)

    async def look() -> list[str]:
        async with stack.database.read() as connection:
            return [row.id for row in await deliveries.of_timer(connection, timer.id) if row.held_by]

    (delivery_id,) = await eventually(look, bool)
    await asyncio.sleep(0.5)
    async with stack.database.write() as connection:
        _, released = await destination_commands.close_circuit(
            connection, TENANT, one.id, now=utc_now(), actor="t"
        )
    await stack.handover.deliveries(TENANT, released)
    await stack.reaches(timer, TimerState.SETTLED)
    public_id = workflow_id("delivery", TENANT, delivery_id)
    await stack.client.get_workflow_handle(public_id).result()
    return public_id


SCENES: dict[str, Callable[[Stack, Receiver], Awaitable[str]]] = {
    "timer-settled": settled,
    "timer-changed": changed,
    "timer-cancelled": cancelled,
    "timer-overtaken": overtaken,
    "timer-cancelled_in_temporal": terminated_in_temporal,
    "timer-retried": retried,
    "delivery-retried": delivered,
    "replay-two_pages": replayed,
    "schedule-ended": schedule_ended,
    "schedule-changed": schedule_changed,
    "plan-settled": plan_settled,
    "plan-late": plan_late,
    "escalation-resolved": escalation_resolved,
    "heartbeat-silent": heartbeat_silent,
    "timer-awaiting": timer_awaiting,
    "delivery-waiting": delivery_waiting,
    "check-unwell": check_unwell,
    "ingest-completed": ingested,
    "agentjob-exec": job_exec,
    "agentjob-llm": job_llm,
    "agentjob-cancelled": job_cancelled,
    "agentjob-agent": job_agent,
    "agentjob-agent_cancelled": job_agent_cancelled,
    "agentjob-late": job_late,
    "agentjob-cancelled_in_temporal": job_cancelled_in_temporal,
    "agentjob-in_sandbox": job_in_sandbox,
    "agentjob-in_lost_sandbox": job_in_lost_sandbox,
    "sandbox-closed": sandbox_closed,
    "sandbox-begun_again": sandbox_begun_again,
    "sandbox-failed": sandbox_failed,
    "sandbox-cancelled_in_temporal": sandbox_cancelled_in_temporal,
    # The same once more, with the patch that a cancel breaks no step.
    "sandbox-closed_in_whole_steps": sandbox_closed,
    "sandbox-begun_again_in_whole_steps": sandbox_begun_again,
    "sandbox-cancelled_while_it_ends": sandbox_cancelled_while_it_ends,
    "sandbox-cancelled_while_it_opens": sandbox_cancelled_while_it_opens,
    "capture-recorded": captured,
    "writer-stopped": written,
}


async def record() -> None:
    """Play every scene that has no history yet."""
    arguments = ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="20ms"']
    for name, kind in REGISTRY:
        arguments += ["--search-attribute", f"{name}={kind}"]
    with tempfile.TemporaryDirectory() as folder, start_telemetry(Settings(), "record") as telemetry:
        async with (
            Database(f"sqlite:///{folder}/records.db") as database,
            model_server(models=[{"name": "fake:latest"}, {"name": AGENT}], turns=TURNS) as models,
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=str(Path(sysconfig.get_path("scripts")) / "temporal"),
                dev_server_extra_args=arguments,
                dev_server_startup_timeout=timedelta(seconds=90),
            ) as environment,
        ):
            await migrate(database)
            async with database.write() as connection:
                await tenants.ensure(connection, TENANT, utc_now())
            address = environment.client.service_client.config.target_host
            settings = with_overrides(Settings(), {"models": {"providers": [f"ollama={models}"]}})
            async with stack_of(database, address, "default", telemetry, settings=settings) as stack:
                for name, scene in SCENES.items():
                    path = HISTORIES / f"{name}.json"
                    if path.exists():
                        continue
                    async with receiving() as receiver:
                        public_id = await scene(stack, receiver)
                    history = await stack.client.get_workflow_handle(public_id).fetch_history()
                    path.write_text(json.dumps(history.to_json_dict(), indent=1) + "\n")
                    print(f"recorded {name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(record())
