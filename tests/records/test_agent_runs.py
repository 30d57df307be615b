"""Steps of agents in the records: begun under a number, kept once, refused to whoever was overtaken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from stacks import TENANT

from minoots.contracts import EventType, Job, JobState, Message, ModelUsage, Role
from minoots.contracts.agent_jobs import JobDecision
from minoots.errors import Failure
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, agent_runs, agent_talk, agent_words, contents, events, jobs
from minoots_platform.records.agent_runs import CallState, Done, Due, NewCall, Next, Step
from minoots_platform.records.job_progress import Outcome

ADMISSION = jobs.Admission(most_unfinished=100, default_deadline=timedelta(minutes=10))
TASK = (Message(role=Role.SYSTEM, text="be good"), Message(role=Role.USER, text="go"))


async def accepted(database: Database, **more: Any) -> Job:
    """A job of an agent."""
    request = jobs.REQUEST.validate_python({"kind": "agent", "task": "go", **more})
    async with database.write() as connection:
        return await jobs.accept(
            connection, TENANT, request, ADMISSION, now=utc_now(), actor="ada", traceparent=None
        )


async def begun(database: Database, job: Job, step: int, **more: Any) -> Step | None:
    """Begin a step."""
    async with database.write() as connection:
        return await agent_runs.begin(
            connection, TENANT, job.id, step, **{"most_tries": 5, "now": utc_now(), **more}
        )


async def prepared(database: Database, job: Job) -> Step:
    """The first step, with what the agent begins with."""
    step = await begun(database, job, 1)
    assert step is not None
    tree = await contents.keep(database, TENANT, b"[]", utc_now())
    async with database.write() as connection:
        ready = await agent_runs.prepare(connection, step, TASK, tree, (), utc_now())
    assert ready is not None
    return ready


async def thought(
    database: Database, step: Step, *calls: NewCall, outcome: Outcome | None = None
) -> Due | None:
    """Keep an answer of the model."""
    message = Message(role=Role.ASSISTANT, text="hm")
    async with database.write() as connection:
        return await agent_runs.thought(connection, step, message, calls, ModelUsage(), outcome, utc_now())


async def acted(database: Database, step: Step, text: str = "ok") -> Due | None:
    """Keep what came of a call."""
    message = Message(role=Role.TOOL, text=text, tool_call_id="call_1", name="run")
    async with database.write() as connection:
        return await agent_runs.acted(connection, step, Done(message=message, signature=text), utc_now())


async def spoken(database: Database, job: Job) -> Sequence[str]:
    """What was said."""
    return [one.text for one in await agent_words.conversation(database, TENANT, job.id)]


READY = NewCall("run", "{}", CallState.READY)
ASKED = NewCall("run", "{}", CallState.ASKED)


async def test_a_step_counts_once_and_moves_the_next_one_on(database: Database) -> None:
    job = await accepted(database)
    first = await prepared(database, job)
    assert await thought(database, first, READY) == Due(Next.ACT, 2)
    assert await thought(database, first, READY) is None, "it is used up"
    assert await begun(database, job, 1) is None
    second = await begun(database, job, 2)
    assert second is not None
    assert second.call is not None
    assert await acted(database, second) == Due(Next.THINK, 3)
    assert await acted(database, second) is None
    assert await spoken(database, job) == ["be good", "go", "hm", "ok"]


async def test_a_step_that_is_begun_again_belongs_to_the_newer_one(database: Database) -> None:
    job = await accepted(database)
    await thought(database, await prepared(database, job), READY)
    old = await begun(database, job, 2)
    assert await begun(database, job, 2, only_new=True) is None, "somebody is at it"
    new = await begun(database, job, 2)
    assert old is not None
    assert new is not None
    assert (old.again, new.again) == (False, True)
    assert new.begun.attempt == old.begun.attempt + 1
    assert await acted(database, old, "from the dead") is None
    assert await acted(database, new) == Due(Next.THINK, 3)
    assert "from the dead" not in await spoken(database, job)


async def test_one_that_is_begun_too_often_fails_its_job(database: Database) -> None:
    job = await accepted(database)
    for _ in range(2):
        assert await begun(database, job, 1, most_tries=2) is not None
    assert await begun(database, job, 1, most_tries=2) is None
    async with database.read() as connection:
        found = await jobs.get(connection, TENANT, job.id)
    assert found.state is JobState.FAILED
    assert found.problem is not None
    assert "begun 2 times" in found.problem.detail


async def test_what_waits_for_somebody_goes_on_when_it_is_decided(database: Database) -> None:
    job = await accepted(database)
    due = await thought(database, await prepared(database, job), ASKED, ASKED)
    assert due == Due(Next.WAIT, 2)

    async def decide(call: int, *, approved: bool) -> None:
        async with database.write() as connection:
            await agent_talk.decide(
                connection,
                TENANT,
                job.id,
                JobDecision(call=call),
                approved=approved,
                now=utc_now(),
                actor="ada",
            )

    async def look() -> Due:
        async with database.read() as connection:
            return await agent_runs.due(connection, job.id, utc_now())

    await decide(2, approved=True)
    assert (await look()).does is Next.WAIT, "one after the other"
    await decide(1, approved=False)
    assert (await look()).does is Next.ACT
    with pytest.raises(Failure, match="call 3 does not wait"):
        await decide(3, approved=True)
    step = await begun(database, job, 2)
    assert step is not None
    assert step.call is not None
    assert step.call.state == CallState.DENIED
    async with database.read() as connection:
        assert await agent_runs.counts(connection, job.id) == {"run": 1}, "what was denied does not count"
        found = await events.read(connection, TENANT, after=0, limit=100)
    kinds = [event.type for event in found.events]
    assert kinds.count(EventType.JOB_APPROVAL_REQUESTED) == 2
    assert kinds.count(EventType.JOB_TOOL_DENIED) == 1


async def test_a_message_is_read_before_the_next_thought_and_keeps_a_job_from_ending(
    database: Database,
) -> None:
    job = await accepted(database)

    async def say(text: str) -> None:
        async with database.write() as connection:
            await agent_talk.send(connection, TENANT, job.id, text, now=utc_now(), actor="ada")

    await say("early")
    step = await prepared(database, job)
    assert await spoken(database, job) == ["be good", "go", "early"]
    await say("late")
    ending = Outcome(JobState.SUCCEEDED)
    assert await thought(database, step, outcome=ending) == Due(Next.THINK, 2)
    second = await begun(database, job, 2)
    assert second is not None
    assert (await spoken(database, job))[-1] == "late"
    assert await thought(database, second, outcome=ending) is None
    async with database.read() as connection:
        assert (await jobs.get(connection, TENANT, job.id)).state is JobState.SUCCEEDED


async def test_a_sleep_ends_in_time_or_by_a_message(database: Database) -> None:
    job = await accepted(database)
    await thought(database, await prepared(database, job), NewCall("sleep", "{}", CallState.READY))
    step = await begun(database, job, 2)
    assert step is not None
    until = utc_now() + timedelta(hours=1)
    async with database.write() as connection:
        due = await agent_runs.fell_asleep(
            connection, step, until, [agent_runs.NewJobEvent(agent_runs.JobEventType.TOOL, {})], utc_now()
        )
        assert due == Due(Next.WAIT, 3, until)
        assert (await agent_runs.due(connection, job.id, until)).does is Next.ACT
        await agent_talk.send(connection, TENANT, job.id, "hey", now=utc_now(), actor="ada")
        assert (await agent_runs.due(connection, job.id, utc_now())).does is Next.ACT


async def test_a_conversation_that_was_changed_is_found_out(database: Database) -> None:
    job = await accepted(database)
    await prepared(database, job)
    other = await contents.keep(database, TENANT, agent_words.encode(TASK[0]), utc_now())
    async with database.write() as connection:
        table = agent_words.schema.agent_messages
        changed = agent_words.sa.update(table).where(table.c.job_id == job.id, table.c.number == 2)
        await connection.execute(changed.values(sha256=other))
    with pytest.raises(Failure, match="changed at message 2"):
        await agent_words.conversation(database, TENANT, job.id)


async def test_what_an_agent_was_told_stays_as_long_as_its_job(database: Database) -> None:
    job = await accepted(database)
    await prepared(database, job)
    later = utc_now() + contents.LEFT_FOR + timedelta(hours=1)
    async with database.write() as connection:
        await contents.forget_unnamed(connection, later)
    assert await spoken(database, job) == ["be good", "go"]
    async with database.read() as connection:
        assert await agent_words.bytes_of(connection, TENANT, job.id) > 0
