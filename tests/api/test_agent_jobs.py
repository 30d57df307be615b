"""Agents over HTTP, the clients and the command line: asked for leave, told things, bound to their keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import typer
from agents_at_work import call, result_of, serving
from dev_stacks import run
from gateways import Door, bearer, open_door
from stacks import eventually
from temporalio.testing import WorkflowEnvironment

from minoots import AsyncMinoots, Conflict, InvalidRequest, JobState, Minoots
from minoots.cli.arguments import mcp_server
from minoots.contracts import AgentResult, JobDetail, JobEventType
from minoots_api.events.tailer import Tailer
from minoots_api.gateway import Gateway
from minoots_platform.clock import utc_now
from minoots_platform.flags import Flags
from minoots_platform.identity import Scope
from minoots_platform.records import Database
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry

ASKING: list[Any] = [
    [call("run", command="echo one"), call("run", command="echo two")],
    call("sleep", seconds=3600),
    "You said: {last}",
]
TOOLS = [{"name": "run"}, {"name": "sleep"}]


@pytest.fixture
async def asking(
    sqlite_database: Database,
    temporal: WorkflowEnvironment,
    namespace: str,
    telemetry: Telemetry,
    settings: Settings,
    flags: Flags,
) -> AsyncIterator[Door]:
    """A gateway with everything behind it, and a model that asks for leave, sleeps, and repeats."""
    async with serving(sqlite_database, temporal, namespace, telemetry)(*ASKING) as (stack, _):
        stack.tenant = "dev"
        gateway = Gateway(
            settings=settings,
            database=stack.database,
            handover=stack.handover,
            flags=flags,
            telemetry=telemetry,
            vault=stack.vault,
            clock=utc_now,
            temporal=stack.client,
            tailer=Tailer(stack.database),
        )
        async with open_door(gateway) as door:
            yield door


async def test_an_agent_is_followed_asked_for_leave_and_told_something(asking: Door) -> None:
    async with AsyncMinoots(asking.url) as client:
        run_ = await client.jobs.run(task="go", tier="process", tools=["run", "sleep"])
        job_id = run_.job.id

        async def look() -> JobDetail:
            return await client.jobs.get(job_id)

        waiting = await eventually(look, lambda job: bool(job.agent and job.agent.awaiting))
        assert waiting.agent is not None
        assert [one.call for one in waiting.agent.awaiting] == [1, 2]
        assert json.loads(waiting.agent.awaiting[0].arguments) == {"command": "echo one"}
        left = await client.jobs.deny(job_id, 2, reason="no")
        assert left.agent is not None
        assert [one.call for one in left.agent.awaiting] == [1]
        assert (await client.jobs.deny(job_id, 2)).id == job_id, "to say the same again changes nothing"
        with pytest.raises(Conflict, match="call 2 does not wait"):
            await client.jobs.approve(job_id, 2)
        await client.jobs.approve(job_id, 1)
        asleep = await eventually(look, lambda job: bool(job.agent and job.agent.wakes_at))
        assert asleep.state is JobState.RUNNING
        await client.jobs.message(job_id, "good morning", idempotency_key="once")
        await client.jobs.message(job_id, "good morning", idempotency_key="once")
        events = [event async for event in run_]
        assert run_.job.state is JobState.SUCCEEDED, run_.job
        assert isinstance(run_.job.result, AgentResult)
        assert run_.job.result.preview == "You said: good morning"
        tools = [event.data for event in events if event.type is JobEventType.TOOL]
        assert [one.get("state") for one in tools] == [None, "done", "denied", None, "sleeping", "woken"]
        with pytest.raises(Conflict):
            await client.jobs.message(job_id, "too late")
        log = [event.type for event in (await client.events.list(subject=job_id)).items]
        for kind in ("approval_requested", "tool_denied", "tool_approved", "message_sent", "succeeded"):
            assert f"job.{kind}" in log


async def test_the_command_line_approves_denies_and_says_something(asking: Door, tmp_path: Path) -> None:
    async def minoots(command: str, *arguments: str, code: int = 0) -> str:
        ran = await asyncio.to_thread(
            run, "jobs", command, "--url", asking.url, *arguments, cwd=tmp_path, timeout=120
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout

    told = ["--task", "go", "--tier", "process", "--tool", "run", "--tool", "sleep=never", "--json"]
    job_id = json.loads(await minoots("submit", *told, "--locality", "local_only"))["id"]

    def look() -> JobDetail:
        with Minoots(asking.url) as client:
            return client.jobs.get(job_id)

    async def seen() -> JobDetail:
        return await asyncio.to_thread(look)

    await eventually(seen, lambda job: bool(job.agent and job.agent.awaiting))
    assert (await seen()).request["locality"] == "local_only"
    assert "echo one" in await minoots("show", job_id)
    await minoots("approve", job_id, "--call", "1")
    await minoots("deny", job_id, "--reason", "no")
    await minoots("deny", job_id, code=4)
    await eventually(seen, lambda job: bool(job.agent and job.agent.wakes_at))
    await minoots("message", job_id, "good morning")
    watched = await minoots("watch", job_id)
    assert f"waits for a yes: minoots jobs approve {job_id} --call 1" in watched
    assert "run denied: error: somebody looked at this call and denied it: no" in watched
    assert "You said: good morning" in watched
    assert "succeeded" in watched
    assert result_of(await seen()).calls == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.agent.task"),
        ({"task": ""}, "body.agent.task"),
        ({"task": "x", "tools": [{"name": "fly"}]}, "body.agent.tools.0.name"),
        ({"task": "x", "tools": [{"name": "run"}, {"name": "run"}]}, "body.agent"),
        ({"task": "x", "files": [{"path": "../x", "text": ""}]}, "body.agent.files.0.path"),
        ({"task": "x", "max_turns": 0}, "body.agent.max_turns"),
        ({"task": "x\x00"}, "body.task"),
    ],
)
async def test_what_is_no_task_for_an_agent_is_refused(door: Door, body: dict[str, Any], field: str) -> None:
    answer = await door.http.post("/v1/jobs", json={"kind": "agent", **body})
    assert answer.status_code == 422
    assert field in [one["field"] for one in answer.json()["errors"]]


async def test_only_agents_take_decisions_and_messages(door: Door) -> None:
    exec_job = {"kind": "exec", "command": ["true"]}
    job_id = (await door.http.post("/v1/jobs", json=exec_job)).json()["id"]
    for path, body in (("approve", {"call": 1}), ("deny", {"call": 1}), ("messages", {"text": "hello"})):
        answer = await door.http.post(f"/v1/jobs/{job_id}/{path}", json=body)
        assert answer.status_code == 409, path
        assert "kind exec" in answer.json()["detail"]
    with pytest.raises(InvalidRequest):
        async with AsyncMinoots(door.url) as client:
            await client.jobs.message(job_id, "")


def test_servers_are_named_on_the_command_line() -> None:
    assert mcp_server("a=python3 'my server.py' x=1") == {
        "name": "a",
        "command": ["python3", "my server.py", "x=1"],
    }
    assert mcp_server("b=https://example.org/mcp?x=1") == {"name": "b", "url": "https://example.org/mcp?x=1"}
    for wrong in ("a", "a=", "a='"):
        with pytest.raises(typer.BadParameter, match="NAME=COMMAND or NAME=URL"):
            mcp_server(wrong)


async def test_what_an_agent_may_do_is_bound_to_the_key(door: Door) -> None:
    body = {"kind": "agent", "task": "x", "tools": [{"name": "set_timer"}]}
    writer = await bearer(door, Scope.JOBS_WRITE)
    assert (await door.http.post("/v1/jobs", json=body, headers=writer)).status_code == 403
    both = await bearer(door, Scope.JOBS_WRITE, Scope.TIMERS_WRITE)
    job_id = (await door.http.post("/v1/jobs", json=body, headers=both)).json()["id"]
    looking = body | {"tools": [{"name": "context"}]}
    for scopes, status in (
        ((Scope.SESSIONS_READ,), 403),
        ((Scope.SOURCES_READ,), 403),
        ((Scope.SESSIONS_READ, Scope.SOURCES_READ), 201),
    ):
        headers = await bearer(door, Scope.JOBS_WRITE, *scopes)
        answer = await door.http.post("/v1/jobs", json=looking, headers=headers)
        assert answer.status_code == status, answer.text
    reader = await bearer(door, Scope.JOBS_READ)
    stranger = await bearer(door, Scope.JOBS_WRITE, tenant="other")
    for path, sent in (("approve", {"call": 1}), ("deny", {"call": 1}), ("messages", {"text": "hello"})):
        for headers, status in ((reader, 403), (stranger, 404)):
            answer = await door.http.post(f"/v1/jobs/{job_id}/{path}", json=sent, headers=headers)
            assert answer.status_code == status, path
    for path, sent in (("approve", {"call": 1}), ("messages", {"text": "set a timer"})):
        answer = await door.http.post(f"/v1/jobs/{job_id}/{path}", json=sent, headers=writer)
        assert answer.status_code == 403, "what its agent may do, they may not"
        assert "timers:write" in answer.text
    # To take something away from it, they may.
    denied = await door.http.post(f"/v1/jobs/{job_id}/deny", json={"call": 1}, headers=writer)
    assert denied.status_code == 409
    many = [
        await door.http.post(f"/v1/jobs/{job_id}/messages", json={"text": "hello"}, headers=both)
        for _ in range(101)
    ]
    assert [answer.status_code for answer in many] == [200] * 100 + [429]


async def test_who_may_not_submit_jobs_sets_no_timer_that_does(door: Door) -> None:
    timer = {"after": "1h", "actions": [{"kind": "job", "config": {"job": {"kind": "agent", "task": "x"}}}]}
    plan = {"name": "p", "nodes": [{"id": "a", "timer": {"actions": timer["actions"]}}]}
    person = {"id": "ada", "name": "Ada", "contacts": timer["actions"]}
    only = await bearer(door, Scope.TIMERS_WRITE, Scope.ESCALATIONS_WRITE)
    both = await bearer(door, Scope.TIMERS_WRITE, Scope.ESCALATIONS_WRITE, Scope.JOBS_WRITE)
    for path, body in (("timers", {"name": "t", **timer}), ("plans", plan), ("people", person)):
        refused = await door.http.post(f"/v1/{path}", json=body, headers=only)
        assert refused.status_code == 403, (path, refused.text)
        assert "jobs:write" in refused.text
        assert (await door.http.post(f"/v1/{path}", json=body, headers=both)).status_code in (200, 201), path


async def test_who_may_set_no_timers_has_no_contact_whose_agent_does(door: Door) -> None:
    job = {"kind": "agent", "task": "x", "tools": [{"name": "set_timer", "approval": "never"}]}
    person = {"id": "ada", "name": "Ada", "contacts": [{"kind": "job", "config": {"job": job}}]}
    headers = await bearer(door, Scope.ESCALATIONS_WRITE, Scope.JOBS_WRITE)
    refused = await door.http.post("/v1/people", json=person, headers=headers)
    assert refused.status_code == 403, refused.text
    assert "timers:write" in refused.text


async def test_who_may_not_submit_jobs_changes_no_words_that_one_will_read(door: Door) -> None:
    only, both = (
        await bearer(door, Scope.TIMERS_WRITE),
        await bearer(door, Scope.TIMERS_WRITE, Scope.JOBS_WRITE),
    )
    actions = [{"kind": "job", "config": {"job": {"kind": "agent", "task": "read payload.json"}}}]
    timer = {"name": "t", "after": "1h", "payload": "mine", "actions": actions}
    recurring = {
        "name": "t",
        "payload": "mine",
        "actions": actions,
        "schedule": {"rules": [{"every": "1h"}]},
    }
    made = await door.http.post("/v1/timers", json=timer, headers=both)
    first = await door.http.post("/v1/timers", json=recurring, headers=both)
    schedule_id = first.json()["occurrence"]["schedule_id"]
    for path in (f"/v1/timers/{made.json()['id']}", f"/v1/schedules/{schedule_id}"):
        refused = await door.http.patch(path, json={"payload": "another's"}, headers=only)
        assert refused.status_code == 403, refused.text
        assert "jobs:write" in refused.text
        assert (await door.http.patch(path, json={"labels": {"a": "b"}}, headers=only)).status_code == 200
        assert (await door.http.get(path, headers=only)).json()["payload"] == "mine"
        assert (await door.http.patch(path, json={"payload": "ours"}, headers=both)).status_code == 200
