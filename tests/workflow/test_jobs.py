"""Jobs through Temporal: a program runs once, what it writes is told, and it stops when it is to."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from keys_held import hold
from stacks import TENANT, Stack, eventually
from temporalio import activity
from temporalio.worker import Worker
from working import accept, artifacts, cancel, ended, events, get, made, reaches, read, submit

from minoots.contracts import ExecResult, Job, JobEventType, JobState, TimerState
from minoots.errors import Failure, FailureKind
from minoots_activities.jobs.adapter import Jobs
from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import contents, job_progress, jobs
from minoots_workflows.ids import workflow_id
from minoots_workflows.jobs.contracts import JobLook
from minoots_workflows.jobs.port import JobsPort
from minoots_workflows.jobs.workflow import AgentJobWorkflow
from minoots_workflows.pacing import Subject
from minoots_workflows.queues import Queue

SHELL = {"kind": "exec", "tier": "process"}


def shell(script: str) -> dict[str, object]:
    """A job that runs a script of the shell."""
    return {**SHELL, "command": ["sh", "-c", script]}


def result_of(job: Job) -> ExecResult:
    """What came of it."""
    assert isinstance(job.result, ExecResult), job
    return job.result


async def test_a_program_runs_and_what_it_writes_is_told_and_kept(stack: Stack) -> None:
    text = "hello\n" * 3
    job = await submit(
        stack,
        **shell("cat in/words; echo oops >&2; tr a-z A-Z < in/words > loud.txt; cat"),
        files=[{"path": "in/words", "text": text}],
        stdin="and bye",
        outputs=["*.txt"],
    )
    done = await ended(stack, job)
    assert done.state is JobState.SUCCEEDED, done
    result = result_of(done)
    assert (result.exit_code, result.ended, result.stderr_tail) == (0, "exited", "oops\n")
    assert await made(stack, job, "stdout") == (text + "and bye").encode()
    assert await made(stack, job, "loud.txt") == text.upper().encode()
    told = await events(stack, job)
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert sorted(read(told)) == sorted(text + "and bye" + "oops\n")
    assert [event.type for event in told[-2:]] == [JobEventType.RESULT, JobEventType.STATUS]
    handle = stack.client.get_workflow_handle_for(AgentJobWorkflow.run, workflow_id("job", TENANT, job.id))
    assert (await handle.result()).state == JobState.SUCCEEDED
    history = await handle.fetch_history()
    assert "hello" not in history.to_json(), "a history has references only"
    assert len(history.events) < 30


async def test_a_program_that_fails_fails_its_job_and_says_how(stack: Stack) -> None:
    done = await ended(stack, await submit(stack, **shell("echo no >&2; exit 3")))
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.detail == "the program exited with 3"
    assert result_of(done).stderr_tail == "no\n"


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ({**SHELL, "command": ["no-such-program"]}, FailureKind.INVALID, "no-such-program"),
        ({**shell("sleep 60"), "limits": {"time": "0.3s"}}, FailureKind.EXHAUSTED, "longer than 0.3 s"),
        ({**shell("yes"), "limits": {"output_kb": 8}}, FailureKind.EXHAUSTED, "more than 8 kB"),
    ],
)
async def test_what_cannot_go_well_is_told(
    stack: Stack, body: dict[str, object], kind: FailureKind, says: str
) -> None:
    done = await ended(stack, await submit(stack, **body))
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.kind is kind
    assert says in done.problem.detail
    assert done.problem.remedy


async def test_cancelling_stops_the_program(stack: Stack) -> None:
    job = await submit(stack, **shell("echo begun; sleep 600; echo never"))
    await eventually(lambda: events(stack, job), lambda told: "begun" in read(told), 60)
    await cancel(stack, job)
    done = await ended(stack, job)
    assert done.state is JobState.CANCELLED
    assert "never" not in read(await events(stack, job))
    other = await submit(stack, **shell("true"))
    await ended(stack, other)
    with pytest.raises(Failure, match="the job has succeeded"):
        await cancel(stack, other)


async def test_one_that_no_worker_has_begun_is_cancelled_too(stack: Stack) -> None:
    await stack.stop_workers()
    job = await submit(stack, **shell("echo never"))
    await cancel(stack, job)
    await stack.start_workers()
    done = await ended(stack, job)
    assert (done.state, done.attempt) == (JobState.CANCELLED, 0)


async def test_a_deadline_ends_what_runs(stack: Stack) -> None:
    deadline = (utc_now() + timedelta(seconds=2)).isoformat()
    done = await ended(stack, await submit(stack, **shell("sleep 600"), deadline=deadline))
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.kind is FailureKind.EXHAUSTED


async def test_an_operator_who_cancels_the_workflow_cancels_the_job(stack: Stack) -> None:
    job = await submit(stack, **shell("echo begun; sleep 600"))
    await reaches(stack, job, JobState.RUNNING)
    await stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id)).cancel()
    assert (await ended(stack, job)).state is JobState.CANCELLED


class Slow(JobsPort):
    """The records, when a look at them takes longer than anybody waits."""

    def __init__(self, jobs: JobsPort) -> None:
        self._jobs = jobs
        self.looked = asyncio.Event()

    @activity.defn(name="jobs.next")
    async def next(self, job: Subject) -> JobLook:
        """Look until nobody wants to know any more."""
        self.looked.set()
        await asyncio.Event().wait()
        raise AssertionError

    @activity.defn(name="jobs.stop")
    async def stop(self, job: Subject) -> JobLook:
        """End the job."""
        return await self._jobs.stop(job)


async def test_an_operator_who_cancels_it_while_it_looks_what_is_next_cancels_the_job(stack: Stack) -> None:
    await stack.stop_workers()
    slow = Slow(Jobs(stack.database, utc_now))
    async with (
        Worker(stack.client, task_queue=Queue.CORE, workflows=[AgentJobWorkflow]),
        Worker(stack.client, task_queue=Queue.IO, activities=[slow.next, slow.stop]),
    ):
        job = await submit(stack, **shell("echo here"))
        async with asyncio.timeout(60):
            await slow.looked.wait()
        await stack.client.get_workflow_handle(workflow_id("job", TENANT, job.id)).cancel()
        assert (await ended(stack, job)).state is JobState.CANCELLED


async def test_what_was_accepted_and_not_told_is_done_all_the_same(stack: Stack) -> None:
    job = await accept(stack, shell("echo here"))
    await eventually(stack.handover.reconcile, bool, 30)
    assert (await ended(stack, job)).state is JobState.SUCCEEDED


async def test_a_worker_that_goes_has_its_program_run_again_and_told_once(stack: Stack) -> None:
    body = shell("echo one; test -e /nowhere || sleep 2; echo two")
    job = await submit(stack, **body, on_lost="rerun")
    await eventually(lambda: events(stack, job), lambda told: "one" in read(told), 60)
    await stack.stop_workers()
    await stack.start_workers()
    done = await ended(stack, job)
    assert done.state is JobState.SUCCEEDED
    assert done.attempt >= 2
    assert read(await events(stack, job)) == "one\ntwo\n", "a reader drops what the first attempt wrote"
    assert await made(stack, job, "stdout") == b"one\ntwo\n"


async def test_in_the_weakest_tier_a_lost_program_is_not_run_again(stack: Stack) -> None:
    job = await submit(stack, **shell("echo one; sleep 600"))
    await eventually(lambda: events(stack, job), lambda told: "one" in read(told), 60)
    await stack.stop_workers()
    await stack.start_workers()
    done = await ended(stack, job)
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert "nobody knows" in done.problem.detail


async def test_an_attempt_that_was_overtaken_writes_nothing(stack: Stack) -> None:
    await stack.stop_workers()
    job = await accept(stack, shell("true"))
    begun = []
    for _ in range(2):
        async with stack.database.write() as connection:
            begun.append(await job_progress.begin(connection, TENANT, job.id, most_attempts=5, now=utc_now()))
    first, second = begun
    assert first is not None
    assert second is not None
    event = job_progress.NewJobEvent(JobEventType.LOG, {"text": "x"})
    outcome = job_progress.Outcome(JobState.SUCCEEDED)
    async with stack.database.write() as connection:
        assert not (await job_progress.append(connection, first, [event], utc_now())).goes_on
        assert not await job_progress.finish(connection, first, outcome, utc_now())
        assert (await job_progress.append(connection, second, [event], utc_now())).goes_on
        assert await job_progress.finish(connection, second, outcome, utc_now())
        assert not await job_progress.finish(connection, second, outcome, utc_now())
    assert (await get(stack, job)).state is JobState.SUCCEEDED


async def test_files_come_in_by_reference_and_unknown_ones_are_refused(stack: Stack) -> None:
    sha256 = await contents.keep(stack.database, TENANT, b"x" * 700_000, utc_now())
    files = [{"path": "big", "artifact": sha256}]
    job = await submit(stack, **shell("wc -c < big"), files=files)
    done = await ended(stack, job)
    assert result_of(done).stdout_tail.strip() == "700000"
    with pytest.raises(Failure, match="there is no content"):
        await accept(stack, {**shell("true"), "files": [{"path": "x", "artifact": "0" * 64}]})


async def test_an_artifact_that_is_too_big_is_told(stack: Stack) -> None:
    job = await submit(stack, **shell("head -c 34000000 /dev/zero > big; echo small > a"), outputs=["*"])
    done = await ended(stack, job)
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.kind is FailureKind.TOO_LARGE
    assert "big" in done.problem.detail
    assert set(await artifacts(stack, job)) == {"a"}


async def test_a_timer_starts_a_job_once_in_the_name_of_whoever_has_set_it(stack: Stack) -> None:
    job = {"kind": "exec", "tier": "process", "command": ["cat", "payload.json"], "labels": {"by": "timer"}}
    action = {"kind": "job", "config": {"job": job}}
    await hold(stack.database, {Scope.TIMERS_WRITE, Scope.JOBS_WRITE})
    timer = await stack.set("http://127.0.0.1:9/", actions=[action], payload={"n": 1})
    assert (await stack.reaches(timer, TimerState.SETTLED, TimerState.FAILED)).state is TimerState.SETTLED
    async with stack.database.read() as connection:
        [found] = (await jobs.page(connection, TENANT, jobs.JobQuery(labels=(("by", "timer"),)))).items
    done = await ended(stack, found)
    assert (done.state, done.name, done.created_by) == (JobState.SUCCEEDED, "t", "test")
    assert await made(stack, found, "stdout") == b'{"n":1}'
