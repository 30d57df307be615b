"""Sandboxes that stand, through Temporal: opened once, used, and gone for certain."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from stacks import TENANT, Stack, eventually, short_histories, stack_of
from standing import aged, close, get, held, opened, put, reaches, told, use, want
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from working import accept, cancel, ended, events, made, read, submit
from working import reaches as job_reaches

from minoots.contracts import CloseReason, ExecResult, Job, JobState, Sandbox, SandboxState
from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.room import folder_of
from minoots_platform.clock import utc_now
from minoots_platform.records import Database, contents, jobs, sandboxes
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id
from minoots_workflows.sandboxes.contracts import SandboxDoes, SandboxLook
from minoots_workflows.sandboxes.workflow import SandboxWorkflow


def workflow_of(stack: Stack, sandbox: Sandbox) -> WorkflowHandle[SandboxWorkflow, SandboxLook]:
    """The handle of its workflow."""
    public_id = workflow_id("sandbox", TENANT, sandbox.id)
    return stack.client.get_workflow_handle_for(SandboxWorkflow.run, public_id)


def shell(sandbox_id: str, script: str, **more: Any) -> dict[str, Any]:
    """A job that runs a script in a sandbox that stands."""
    return {"kind": "exec", "sandbox": sandbox_id, "command": ["sh", "-c", script], **more}


def result_of(job: Job) -> ExecResult:
    """What came of it."""
    assert isinstance(job.result, ExecResult), job
    return job.result


async def test_what_one_program_leaves_the_next_one_finds(stack: Stack) -> None:
    sandbox = await opened(stack)
    assert (sandbox.opened, sandbox.close_requested) == (1, False)
    assert (await put(stack, sandbox, "in/words", b"tea for two"))["bytes"] == 11
    first = await ended(
        stack, await submit(stack, **shell(sandbox.id, "tr a-z A-Z < in/words > loud; echo $$ > pid"))
    )
    assert first.state is JobState.SUCCEEDED, first
    second = await submit(
        stack, **shell(sandbox.id, "cat loud extra"), files=[{"path": "extra", "text": "!"}], outputs=["loud"]
    )
    done = await ended(stack, second)
    assert result_of(done).stdout_tail == "TEA FOR TWO!"
    assert await made(stack, second, "loud") == b"TEA FOR TWO"
    listed = await use(stack, sandbox, SandboxDoes.LIST, most=100)
    assert [one["path"] for one in listed["items"]] == ["extra", "in/words", "loud", "pid"]
    got = await use(stack, sandbox, SandboxDoes.GET, path="loud")
    assert await contents.read(stack.database, TENANT, got["sha256"]) == b"TEA FOR TWO"
    await close(stack, sandbox)
    closed = await reaches(stack, sandbox, SandboxState.CLOSED)
    assert closed.reason is CloseReason.REQUESTED
    handle = workflow_of(stack, sandbox)
    assert (await handle.result()).state == SandboxState.CLOSED
    history = (await handle.fetch_history()).to_json()
    for words in ("loud", "in/words", "TEA"):
        assert words not in history, "a history has references only"
    assert await told(stack, sandbox) == [
        "sandbox.accepted",
        "sandbox.opened",
        "sandbox.close_requested",
        "sandbox.closed",
    ]


async def test_programs_in_one_run_one_after_the_other(stack: Stack) -> None:
    sandbox = await opened(stack)
    script = "test ! -e busy || exit 9; touch busy; sleep 0.3; rm busy"
    jobs = [await submit(stack, **shell(sandbox.id, script)) for _ in range(3)]
    done = [await ended(stack, job) for job in jobs]
    assert [one.state for one in done] == [JobState.SUCCEEDED] * 3, done


async def test_more_programs_than_may_wait_in_one_are_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_IN_ONE_SANDBOX", 2)
    full, other = await opened(stack), await opened(stack)
    for _ in range(2):
        await accept(stack, shell(full.id, "true"))
    with pytest.raises(Failure, match="2 jobs wait or run in the sandbox already") as refused:
        await accept(stack, shell(full.id, "true"))
    assert refused.value.kind is FailureKind.THROTTLED
    await accept(stack, shell(other.id, "true"))


async def test_a_program_in_one_is_cancelled_and_the_sandbox_stays(stack: Stack) -> None:
    sandbox = await opened(stack)
    job = await submit(stack, **shell(sandbox.id, "echo here > kept; echo begun; sleep 600"))
    await eventually(lambda: events(stack, job), lambda seen: "begun" in read(seen), 60)
    waiting = await submit(stack, **shell(sandbox.id, "cat kept"))
    other = await submit(stack, **shell(sandbox.id, "echo never"))
    await cancel(stack, other)
    cancelled = await ended(stack, other)
    assert (cancelled.state, cancelled.attempt) == (JobState.CANCELLED, 0), "it waited for its turn"
    await cancel(stack, job)
    assert (await ended(stack, job)).state is JobState.CANCELLED
    assert result_of(await ended(stack, waiting)).stdout_tail == "here\n"
    assert (await get(stack, sandbox)).state is SandboxState.OPEN


async def test_limits_of_a_program_are_those_of_the_sandbox_and_its_own_time(stack: Stack) -> None:
    sandbox = await opened(stack, limits={"output_kb": 8, "time": "30s"})
    done = await ended(stack, await submit(stack, **shell(sandbox.id, "yes")))
    assert done.problem is not None
    assert "more than 8 kB" in done.problem.detail
    late = await submit(stack, **shell(sandbox.id, "sleep 60", limits={"time": "0.2s"}))
    done = await ended(stack, late)
    assert done.problem is not None
    assert "longer than 0.2 s" in done.problem.detail


async def test_one_that_is_idle_is_closed_and_one_that_works_is_not(stack: Stack) -> None:
    sandbox = await opened(stack)
    handle = workflow_of(stack, sandbox)
    job = await submit(stack, **shell(sandbox.id, "while test ! -e go; do sleep 0.05; done"))
    await job_reaches(stack, job, JobState.RUNNING)
    # It has been unused for an hour, and may be for a fifth of a second.
    await aged(stack, sandbox, used_at=utc_now() - timedelta(hours=1), idle_seconds=0.2)
    seen = await eventually(
        lambda: handle.query(SandboxWorkflow.state), lambda look: look.wake_at == sandbox.expires_at
    )
    assert seen.state == "open", "a program runs, and nobody looks again before that has ended"
    await put(stack, sandbox, "go", b"")
    done = await ended(stack, job)
    assert done.state is JobState.SUCCEEDED, done

    async def closed() -> CloseReason | None:
        # As the reconciler does: nobody else tells of the end of a program.
        await stack.handover.reconcile()
        return (await get(stack, sandbox)).reason

    assert await eventually(closed, bool) is CloseReason.IDLE
    await reaches(stack, sandbox, SandboxState.CLOSED)


async def test_at_the_end_of_its_lifetime_it_is_closed_whatever_runs(stack: Stack) -> None:
    sandbox = await opened(stack)
    job = await submit(stack, **shell(sandbox.id, "echo begun; sleep 600"))
    await eventually(lambda: events(stack, job), lambda seen: "begun" in read(seen), 60)
    await aged(stack, sandbox, expires_at=utc_now())
    closed = await reaches(stack, sandbox, SandboxState.CLOSED)
    assert closed.reason is CloseReason.LIFETIME
    done = await ended(stack, job)
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.outcome == "unknown", done.problem
    with pytest.raises(Failure, match="the sandbox is closed"):
        await accept(stack, shell(sandbox.id, "true"))


async def test_one_that_is_suspended_stands_still_and_is_not_idle(stack: Stack) -> None:
    sandbox = await opened(stack)
    await use(stack, sandbox, SandboxDoes.SUSPEND)
    assert (await get(stack, sandbox)).state is SandboxState.SUSPENDED
    job = await submit(stack, **shell(sandbox.id, "echo ran"))
    await put(stack, sandbox, "a", b"1")
    seen = await eventually(
        lambda: workflow_of(stack, sandbox).query(SandboxWorkflow.state),
        lambda look: look.state == "suspended",
    )
    assert seen.wake_at == sandbox.expires_at, "it may stand still for as long as it lives"
    found = await get(stack, sandbox)
    assert (found.state, found.programs) == (SandboxState.SUSPENDED, 1)
    await use(stack, sandbox, SandboxDoes.RESUME)
    assert (await ended(stack, job)).state is JobState.SUCCEEDED

    async def is_idle() -> bool:
        await stack.handover.reconcile()
        seen = await workflow_of(stack, sandbox).query(SandboxWorkflow.state)
        return seen.state == "open" and seen.wake_at is not None and seen.wake_at < sandbox.expires_at

    await eventually(is_idle, bool)


async def test_another_one_begins_with_the_files_of_a_snapshot(stack: Stack) -> None:
    sandbox = await opened(stack)
    await put(stack, sandbox, "a/b", b"kept")
    taken = await use(stack, sandbox, SandboxDoes.SNAPSHOT)
    assert (await get(stack, sandbox)).snapshot == taken["sha256"]
    other = await opened(stack, from_snapshot=taken["sha256"])
    done = await ended(stack, await submit(stack, **shell(other.id, "cat a/b")))
    assert result_of(done).stdout_tail == "kept"
    with pytest.raises(Failure, match="there is no content"):
        await want(stack, from_snapshot="0" * 64)


async def test_what_never_opens_fails_and_says_why(stack: Stack) -> None:
    failed = await want(stack, limits={"memory_mb": 1_000_000})
    assert await stack.handover.sandbox(failed.id)
    failed = await reaches(stack, failed, SandboxState.FAILED)
    assert failed.problem is not None
    assert "sandbox.max_memory_mb" in (failed.problem.remedy or "")
    assert failed.problem.outcome == "never_started"


async def test_a_tier_that_no_worker_can_give_fails_soon_and_says_what_is_missing(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> None:
    settings = with_overrides(Settings(), {"sandbox": {"qemu": "no-such-qemu"}})
    address = temporal.client.service_client.config.target_host
    async with stack_of(sqlite_database, address, namespace, telemetry, settings=settings) as stack:
        wanted = await want(stack, tier="vm")
        assert await stack.handover.sandbox(wanted.id)
        failed = await reaches(stack, wanted, SandboxState.FAILED)
        assert failed.problem is not None
        assert "this worker cannot give the tier vm" in failed.problem.detail


async def test_one_that_is_closed_before_any_worker_opened_it_is_never_opened(stack: Stack) -> None:
    await stack.stop_workers()
    wanted = await want(stack)
    await close(stack, wanted)
    await stack.start_workers()
    closed = await reaches(stack, wanted, SandboxState.CLOSED)
    assert closed.opened == 0


async def test_without_its_worker_it_is_lost_and_its_jobs_say_how_far_they_came(stack: Stack) -> None:
    sandbox = await opened(stack)
    running = await submit(stack, **shell(sandbox.id, "echo begun; sleep 600"))
    await eventually(lambda: events(stack, running), lambda seen: "begun" in read(seen), 60)
    queued = await submit(stack, **shell(sandbox.id, "echo never"))
    await stack.stop_workers()
    await stack.start_workers()
    lost = await reaches(stack, sandbox, SandboxState.LOST)
    assert lost.problem is not None
    for job, outcome, begun in ((running, "unknown", 1), (queued, "never_started", 0)):
        done = await ended(stack, job)
        assert done.state is JobState.FAILED
        assert done.problem is not None
        assert (done.problem.outcome, done.attempt) == (outcome, begun), done
    assert "sandbox.lost" in await told(stack, sandbox)


async def test_one_that_is_kept_begins_again_with_its_files_when_its_worker_stops(stack: Stack) -> None:
    sandbox = await opened(stack, keep=True)
    await put(stack, sandbox, "notes", b"before")
    await held(stack, sandbox)
    await stack.stop_workers()
    await stack.start_workers()
    again = await eventually(lambda: get(stack, sandbox), lambda found: found.opened == 2, 90)
    assert again.state is SandboxState.OPEN
    done = await ended(stack, await submit(stack, **shell(sandbox.id, "cat notes")))
    assert result_of(done).stdout_tail == "before"
    assert (await told(stack, sandbox)).count("sandbox.opened") == 2


@pytest.mark.parametrize("soon", [True, False], ids=["while it is looked at", "while it is held"])
async def test_an_operator_who_cancels_the_workflow_closes_it(stack: Stack, soon: bool) -> None:
    sandbox = await opened(stack)
    if not soon:
        await held(stack, sandbox)
    await workflow_of(stack, sandbox).cancel()
    closed = await reaches(stack, sandbox, SandboxState.CLOSED)
    assert closed.reason is CloseReason.OPERATOR


async def test_what_was_wanted_and_not_told_is_opened_all_the_same(stack: Stack) -> None:
    wanted = await want(stack)
    await eventually(stack.handover.reconcile, bool, 30)
    await reaches(stack, wanted, SandboxState.OPEN)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a//b", ".", ""])
async def test_paths_lead_nowhere_else(stack: Stack, path: str) -> None:
    sandbox = await opened(stack)
    for does, more in ((SandboxDoes.GET, {}), (SandboxDoes.PUT, {"sha256": "0" * 64})):
        answer = await use(stack, sandbox, does, path=path, **more)
        assert answer["failure"]["kind"] == "invalid", answer


async def test_one_that_is_suspended_with_a_program_in_it_can_be_closed(stack: Stack) -> None:
    sandbox = await opened(stack)
    job = await submit(stack, **shell(sandbox.id, "echo begun; sleep 600"))
    await eventually(lambda: events(stack, job), lambda seen: "begun" in read(seen), 60)
    await use(stack, sandbox, SandboxDoes.SUSPEND)
    await close(stack, sandbox)
    await reaches(stack, sandbox, SandboxState.CLOSED)
    done = await ended(stack, job)
    assert done.problem is not None
    assert done.problem.outcome == "unknown"


async def test_one_that_stands_has_its_memory_until_it_is_closed_and_a_program_waits_for_that(
    sqlite_database: Database,
    temporal: WorkflowEnvironment,
    namespace: str,
    telemetry: Telemetry,
    tmp_path: Path,
) -> None:
    memory = {"memory_mb": 700, "spare_memory_mb": 0}
    settings = with_overrides(Settings(), {"data_dir": str(tmp_path), "sandbox": memory})
    address = temporal.client.service_client.config.target_host
    limits = {"limits": {"memory_mb": 400}}
    async with stack_of(sqlite_database, address, namespace, telemetry, settings=settings) as stack:
        sandbox = await opened(stack, **limits)
        job = await submit(stack, kind="exec", tier="process", command=["true"], **limits)
        listed = folder_of(tmp_path)

        async def waiting() -> int:
            return sum('"taken": false' in one.read_text() for one in listed.glob("minoots-*"))

        await eventually(waiting, lambda count: count == 1)
        await close(stack, sandbox)
        done = await ended(stack, job)
        assert done.state is JobState.SUCCEEDED, done


async def test_a_worker_has_room_for_so_many_and_the_next_one_waits_for_it(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> None:
    settings = with_overrides(Settings(), {"sandbox": {"standing": {"per_worker": 1}}})
    address = temporal.client.service_client.config.target_host
    async with stack_of(sqlite_database, address, namespace, telemetry, settings=settings) as stack:
        first = await opened(stack)
        second = await want(stack)
        assert await stack.handover.sandbox(second.id)
        waiting = await eventually(lambda: get(stack, second), lambda found: found.problem is not None)
        assert waiting.state is SandboxState.OPENING
        assert waiting.problem is not None
        assert "sandbox.standing.per_worker" in (waiting.problem.remedy or "")
        await close(stack, first)
        found = await reaches(stack, second, SandboxState.OPEN)
        assert found.problem is None


async def test_to_wait_for_room_is_no_failure_and_what_fails_too_often_is_given_up(
    sqlite_database: Database, temporal: WorkflowEnvironment, namespace: str, telemetry: Telemetry
) -> None:
    settings = with_overrides(
        Settings(), {"sandbox": {"standing": {"per_worker": 1}, "qemu": "no-such-qemu"}}
    )
    address = temporal.client.service_client.config.target_host
    async with stack_of(sqlite_database, address, namespace, telemetry, settings=settings) as stack:
        first, second = await opened(stack), await want(stack, tier="vm")
        assert await stack.handover.sandbox(second.id)

        async def tried() -> tuple[int, int]:
            async with stack.database.read() as connection:
                row = await sandboxes.row_of(connection, TENANT, second.id)
            return row.epoch, row.failures

        seen = await eventually(tried, lambda found: found[0] >= 2, 60)
        assert seen[1] == 0, "it waited, and nothing was tried"
        await close(stack, first)
        failed = await reaches(stack, second, SandboxState.FAILED)
        assert failed.problem is not None
        assert "this worker cannot give the tier vm" in failed.problem.detail
        epoch, failures = await tried()
        assert failures == 9, "the tenth ends it"
        assert epoch > 10


async def test_one_that_is_used_a_lot_goes_on_in_a_new_history(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with short_histories(sqlite_database, telemetry) as stack:
        sandbox = await opened(stack)
        first = (await workflow_of(stack, sandbox).describe()).run_id
        for number in range(8):
            await put(stack, sandbox, f"f{number}", b"x")
            await use(stack, sandbox, SandboxDoes.SUSPEND)
            await use(stack, sandbox, SandboxDoes.RESUME)
        assert (await workflow_of(stack, sandbox).describe()).run_id != first
        await held(stack, sandbox)
        listed = await use(stack, sandbox, SandboxDoes.LIST, most=10)
        assert len(listed["items"]) == 8, "the same sandbox"
        assert (await get(stack, sandbox)).opened == 1
        await close(stack, sandbox)
        await reaches(stack, sandbox, SandboxState.CLOSED)
