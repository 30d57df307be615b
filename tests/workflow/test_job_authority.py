"""In whose name jobs begin that a timer or an escalation starts, and that nobody's do whose key has ended."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from keys_held import hold, revoke
from stacks import TENANT, Stack, eventually
from standing import ADMISSION
from working import ended

from minoots.contracts import (
    AttemptError,
    DeadLetter,
    EscalationCreate,
    Job,
    JobState,
    PersonSave,
    PlanCreate,
    PlanPatch,
    Sandbox,
    SandboxCreate,
    SandboxState,
    Timer,
    TimerCreate,
    TimerState,
)
from minoots.errors import Failure
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import (
    contents,
    dead_letters,
    documents,
    escalations,
    jobs,
    plans,
    sandboxes,
    schema,
    targets,
    tenants,
    timers,
)
from minoots_platform.records.dead_letters import DeadLetterQuery
from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import start_logs
from minoots_workflows.sandboxes.asking import ask
from minoots_workflows.sandboxes.contracts import SandboxCall, SandboxDoes

BOTH = {Scope.TIMERS_WRITE, Scope.JOBS_WRITE}
ACTION: dict[str, Any] = {
    "kind": "job",
    "config": {"job": {"kind": "exec", "tier": "process", "command": ["true"]}},
}


async def set_timer(stack: Stack) -> Timer:
    """A timer that starts a job, once it is over."""
    timer = await stack.set("http://127.0.0.1:9/", actions=[ACTION])
    return await stack.reaches(timer, TimerState.SETTLED, TimerState.FAILED)


async def submitted(stack: Stack) -> tuple[Job, ...]:
    """All jobs."""
    async with stack.database.read() as connection:
        return (await jobs.page(connection, TENANT, jobs.JobQuery())).items


async def letters(stack: Stack) -> tuple[DeadLetter, ...]:
    """What was given up, the newest first."""
    async with stack.database.read() as connection:
        return (await dead_letters.page(connection, TENANT, DeadLetterQuery())).items


async def test_a_timer_of_a_key_that_was_revoked_starts_no_job(stack: Stack, tmp_path: Path) -> None:
    audited = tmp_path / "audit.log"
    await hold(stack.database, BOTH)
    await revoke(stack.database)
    with start_logs(TelemetrySettings(audit_log=audited), "test"):
        timer = await set_timer(stack)
    assert timer.state is TimerState.FAILED
    assert await submitted(stack) == ()
    [letter] = await letters(stack)
    assert letter.error is AttemptError.REFUSED
    assert letter.attempts == 1, "another attempt changes nothing"
    assert letter.detail is not None
    assert "the key test is revoked" in letter.detail
    assert "Set it again" in letter.detail, "what to do about it"
    [line] = map(json.loads, audited.read_text().splitlines())
    told = (line["event"], line["decision"], line["actor"], line["timer"])
    assert told == ("job.refused", "deny", "test", timer.id)


async def test_a_timer_of_a_key_that_may_have_no_jobs_done_starts_none(stack: Stack) -> None:
    await hold(stack.database, {Scope.TIMERS_WRITE})
    assert (await set_timer(stack)).state is TimerState.FAILED
    [letter] = await letters(stack)
    assert letter.detail is not None
    assert "this needs the scope jobs:write" in letter.detail


async def test_a_timer_runs_nothing_in_the_sandbox_of_another_tenant(stack: Stack) -> None:
    """As one would that was kept before this was looked at when a timer is set."""
    await hold(stack.database, {*BOTH, Scope.SANDBOXES_WRITE})
    async with stack.database.write() as connection:
        await tenants.ensure(connection, "globex", utc_now())
        theirs = await sandboxes.accept(
            connection,
            "globex",
            SandboxCreate.model_validate({"tier": "process"}),
            ADMISSION,
            now=utc_now(),
            actor="t",
            traceparent=None,
        )
    assert await stack.handover.sandbox(theirs.id)

    async def seen() -> Sandbox:
        async with stack.database.read() as connection:
            return await sandboxes.get(connection, "globex", theirs.id)

    await eventually(seen, lambda found: found.state is SandboxState.OPEN)
    job = {"kind": "exec", "sandbox": theirs.id, "command": ["touch", "stolen"]}
    spec = TimerCreate.model_validate(
        {"name": "t", "after": 0.3, "actions": [{"kind": "job", "config": {"job": job}}]}
    )
    async with stack.database.write() as connection:
        with pytest.raises(Failure, match=f"there is no sandbox {theirs.id}"):
            await targets.require(connection, TENANT, {"body.actions": spec.actions})
        row = await timers.insert(
            connection,
            TENANT,
            timers.template_of(spec),
            fire_at=utc_now(),
            now=utc_now(),
            actor="test",
            traceparent=None,
        )
    assert await stack.handover.timer(TENANT, row.id)
    [letter] = await eventually(lambda: letters(stack), lambda found: len(found) == 1)
    assert letter.error is AttemptError.REFUSED
    assert letter.detail is not None
    assert f"there is no sandbox {theirs.id}" in letter.detail
    assert await submitted(stack) == ()
    asked = await contents.keep(stack.database, "globex", b'{"most": 10}', utc_now())
    call = SandboxCall(tenant="globex", sandbox_id=theirs.id, does=SandboxDoes.LIST, about=asked)
    answer = await contents.read(stack.database, "globex", (await ask(stack.client, call)).content)
    assert json.loads(answer)["items"] == []
    assert (await seen()).used_at == (await seen()).opened_at, "nobody has used it"


async def test_a_replay_starts_no_job_that_may_have_been_done_and_forgotten(stack: Stack) -> None:
    await hold(stack.database, BOTH)
    await revoke(stack.database)
    timer = await set_timer(stack)
    await revoke(stack.database, again_valid=True)
    await _happened_ago(stack, timer, timedelta(days=91))
    await _replay(stack, (await letters(stack))[0])
    died = await eventually(lambda: letters(stack), lambda found: len(found) == 2)
    assert died[0].detail is not None
    assert "more than 90 days ago" in died[0].detail
    assert await submitted(stack) == ()
    await _happened_ago(stack, timer, timedelta(days=89))
    await _replay(stack, died[0])
    [job] = await eventually(lambda: submitted(stack), lambda found: len(found) == 1)
    assert (await ended(stack, job)).state is JobState.SUCCEEDED


async def test_a_contact_of_an_escalation_that_is_a_job_is_that_of_whoever_began_it(stack: Stack) -> None:
    await hold(stack.database, {Scope.ESCALATIONS_WRITE, Scope.JOBS_WRITE}, subject="key_on_call")
    await hold(stack.database, {Scope.ESCALATIONS_WRITE}, subject="key_alerts")
    person = PersonSave.model_validate({"id": "ada", "name": "ada", "contacts": [ACTION]})
    async with stack.database.write() as connection:
        saved = person.model_dump(mode="json", exclude={"id"})
        await documents.save(connection, TENANT, "person", "ada", saved, now=utc_now(), actor="key_alerts")
    await _escalate(stack, "key_on_call")
    [job] = await eventually(lambda: submitted(stack), lambda found: len(found) == 1)
    assert job.created_by == "key_on_call"
    await _escalate(stack, "key_alerts")
    [letter] = await eventually(lambda: letters(stack), lambda found: len(found) == 1)
    assert letter.detail is not None
    assert "jobs:write" in letter.detail
    assert len(await submitted(stack)) == 1


async def test_a_node_runs_in_the_name_of_whoever_added_it_to_the_plan(stack: Stack) -> None:
    await hold(stack.database, BOTH, subject="key_plan")
    await hold(stack.database, BOTH, subject="key_guest")
    await hold(stack.database, {Scope.TIMERS_WRITE}, subject="key_poor")
    await hold(stack.database, BOTH, subject="key_old")
    plan = PlanCreate.model_validate({"name": "p", "nodes": [{"id": "own", "timer": {"actions": [ACTION]}}]})
    async with stack.database.write() as connection:
        more = {"now": utc_now(), "traceparent": None}
        made = await plans.accept(connection, TENANT, plan, actor="key_plan", **more)
        for actor in ("key_guest", "key_poor", "key_old"):
            node = {"id": actor.replace("_", "-"), "timer": {"actions": [ACTION]}}
            patch = PlanPatch.model_validate({"add": [node]})
            await plans.update(
                connection, TENANT, made.id, patch, now=utc_now(), actor=actor, if_generation=None
            )
    await revoke(stack.database, subject="key_old")
    assert await stack.handover.plan(made.id)
    await stack.handover.timers_of(made.id)
    died = await eventually(lambda: letters(stack), lambda found: len(found) == 2)
    assert all(letter.detail is not None for letter in died)
    told = " ".join(str(letter.detail) for letter in died)
    assert "needs the scope jobs:write" in told, "the plan's key would have been let"
    assert "key_old is revoked" in told
    found = await eventually(lambda: submitted(stack), lambda found: len(found) == 2)
    assert sorted(job.created_by for job in found) == ["key_guest", "key_plan"]


async def _escalate(stack: Stack, actor: str) -> None:
    spec = EscalationCreate.model_validate(
        {"name": "disk full", "ladder": {"rungs": [{"targets": ["person:ada"]}]}}
    )
    async with stack.database.write() as connection:
        begun = await escalations.accept(
            connection, TENANT, spec, now=utc_now(), actor=actor, traceparent=None
        )
    await stack.handover.escalation(begun.id)
    await stack.handover.reconcile()


async def _happened_ago(stack: Stack, timer: Timer, ago: timedelta) -> None:
    async with stack.database.write() as connection:
        changed = sa.update(schema.timers).where(schema.timers.c.id == timer.id)
        await connection.execute(changed.values(fired_at=utc_now() - ago))


async def _replay(stack: Stack, letter: DeadLetter) -> None:
    async with stack.database.write() as connection:
        again = await dead_letters.replay_one(connection, TENANT, letter.id, now=utc_now(), actor="ops")
    assert await stack.handover.delivery(TENANT, again.delivery_id)
