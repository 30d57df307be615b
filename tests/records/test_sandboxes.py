"""Sandboxes that stand, in the records: an earlier holder changes nothing, nothing is forgotten early."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from stacks import TENANT
from standing import ADMISSION

from minoots.contracts import CloseReason, JobProblem, JobState, Sandbox, SandboxCreate, SandboxState
from minoots.errors import Failure, FailureKind
from minoots_platform.clock import utc_now
from minoots_platform.records import (
    Database,
    contents,
    job_progress,
    jobs,
    looks,
    sandbox_progress,
    sandboxes,
)
from minoots_platform.records.job_progress import Outcome
from minoots_platform.records.sandbox_progress import Needs, Opening

NOW = utc_now()
SECOND = timedelta(seconds=1)
GONE = JobProblem(kind=FailureKind.UNAVAILABLE, detail="gone")


async def want(database: Database, tenant: str = TENANT, most: int = 10, **body: Any) -> Sandbox:
    """Keep the wish for a sandbox."""
    admission = replace(ADMISSION, most=most)
    async with database.write() as connection:
        request = SandboxCreate.model_validate(body)
        return await sandboxes.accept(
            connection, tenant, request, admission, now=NOW, actor="t", traceparent=None
        )


async def test_of_those_that_are_asked_for_together_as_many_stand_as_may(database: Database) -> None:
    await want(database)
    came = await asyncio.gather(*(want(database, most=3) for _ in range(10)), return_exceptions=True)
    refused = [one for one in came if not isinstance(one, Sandbox)]
    assert len(refused) == 8
    assert all(isinstance(one, Failure) and one.kind is FailureKind.THROTTLED for one in refused), refused


async def begin(database: Database, sandbox: Sandbox) -> Opening:
    """Begin an opening."""
    async with database.write() as connection:
        opening = await sandbox_progress.begin(connection, TENANT, sandbox.id, NOW)
    assert opening is not None
    return opening


async def stands(database: Database, opening: Opening, queue: str = "q") -> bool:
    """Note that it stands."""
    async with database.write() as connection:
        return await sandbox_progress.opened(connection, opening, queue, {}, NOW)


async def look(database: Database, sandbox: Sandbox, now: datetime = NOW) -> sandbox_progress.Look:
    """What is next for it."""
    async with database.write() as connection:
        return await sandbox_progress.look(connection, TENANT, sandbox.id, now)


async def get(database: Database, sandbox: Sandbox) -> Sandbox:
    """It, as it stands."""
    async with database.read() as connection:
        return await sandboxes.get(connection, TENANT, sandbox.id)


async def test_of_two_workers_that_open_one_the_later_holds_it(database: Database) -> None:
    sandbox = await want(database)
    first, second = await begin(database, sandbox), await begin(database, sandbox)
    assert (first.epoch, second.epoch) == (1, 2)
    assert not await stands(database, first, "first")
    assert await stands(database, second, "second")
    assert not await stands(database, second, "again")
    found = await look(database, sandbox)
    assert (found.needs, found.epoch, found.queue) == (Needs.HOLDING, 2, "second")
    async with database.read() as connection:
        assert await sandbox_progress.wanted(connection, {sandbox.id: 1}, NOW) == frozenset()
        assert await sandbox_progress.wanted(connection, {sandbox.id: 2}, NOW) == {sandbox.id}
        late = sandbox.expires_at + timedelta(minutes=2)
        assert await sandbox_progress.wanted(connection, {sandbox.id: 2}, late) == frozenset()


async def test_what_an_earlier_holder_says_counts_no_more(database: Database) -> None:
    sandbox = await want(database, keep=True)
    assert await stands(database, await begin(database, sandbox))
    async with database.write() as connection:
        await sandbox_progress.lost(connection, TENANT, sandbox.id, 1, GONE, NOW)
    assert (await get(database, sandbox)).state is SandboxState.OPENING
    assert await stands(database, await begin(database, sandbox))
    async with database.write() as connection:
        await sandbox_progress.lost(connection, TENANT, sandbox.id, 1, GONE, NOW)
        await sandbox_progress.paused(connection, TENANT, sandbox.id, 1, NOW, pause=True)
    found = await get(database, sandbox)
    assert (found.state, found.opened) == (SandboxState.OPEN, 2)


async def test_one_that_nobody_opens_in_time_has_failed_and_says_the_last_reason(database: Database) -> None:
    sandbox = await want(database)
    found = await look(database, sandbox)
    assert (found.needs, found.wake_at) == (Needs.OPENING, NOW + ADMISSION.open_within)
    opening = await begin(database, sandbox)
    full = JobProblem(kind=FailureKind.UNAVAILABLE, detail="no room", outcome="never_started")
    async with database.write() as connection:
        await sandbox_progress.not_opened(connection, opening, full, NOW, final=False)
    assert (await look(database, sandbox, NOW + ADMISSION.open_within)).needs is Needs.NOTHING
    failed = await get(database, sandbox)
    assert failed.state is SandboxState.FAILED
    assert failed.problem == full
    nobody = await want(database)
    await look(database, nobody, NOW + ADMISSION.open_within)
    problem = (await get(database, nobody)).problem
    assert problem is not None
    assert "no worker" in problem.detail


async def test_it_is_idle_from_when_it_was_used_last_or_its_last_program_ended(database: Database) -> None:
    sandbox = await want(database, idle_timeout="10s", lifetime="1m")
    assert await stands(database, await begin(database, sandbox))
    assert (await look(database, sandbox, NOW + 9 * SECOND)).wake_at == NOW + 10 * SECOND
    body = {"kind": "exec", "command": ["true"], "sandbox": sandbox.id}
    async with database.write() as connection:
        admission = jobs.Admission(10, timedelta(hours=1))
        job = await jobs.accept(
            connection,
            TENANT,
            jobs.REQUEST.validate_python(body),
            admission,
            now=NOW,
            actor="t",
            traceparent=None,
        )
    for later in (0, 20, 40):
        found = await look(database, sandbox, NOW + later * SECOND)
        assert (found.needs, found.wake_at) == (Needs.HOLDING, sandbox.expires_at), "a program waits or runs"
    async with database.write() as connection:
        due = await looks.one(connection, "sandbox", sandbox.id)
        await looks.confirm(connection, due)
    async with database.write() as connection:
        row = await jobs.row_of(connection, TENANT, job.id, lock=True)
        await job_progress.end(connection, row, Outcome(JobState.SUCCEEDED), NOW + 25 * SECOND)
        told = await looks.behind(connection, before=NOW + 30 * SECOND, limit=10)
    assert [one.public_id for one in told] == [sandbox.id], "who sees to it is told that it is idle now"
    assert (await look(database, sandbox, NOW + 30 * SECOND)).wake_at == NOW + 35 * SECOND
    assert (await look(database, sandbox, NOW + 35 * SECOND)).needs is Needs.CLOSING
    async with database.write() as connection:
        await sandbox_progress.closed(connection, TENANT, sandbox.id, NOW)
    closed = await get(database, sandbox)
    assert (closed.state, closed.reason) == (SandboxState.CLOSED, CloseReason.IDLE)


async def test_one_that_is_kept_does_not_begin_again_when_it_is_to_be_closed(database: Database) -> None:
    sandbox = await want(database, keep=True)
    assert await stands(database, await begin(database, sandbox))
    async with database.write() as connection:
        await sandboxes.close(connection, TENANT, sandbox.id, now=NOW, actor="t")
        await sandbox_progress.lost(connection, TENANT, sandbox.id, 1, GONE, NOW)
    assert (await get(database, sandbox)).state is SandboxState.CLOSED


async def test_what_the_engine_was_not_told_is_handed_over(database: Database) -> None:
    sandbox = await want(database, name="shed")
    later = NOW + timedelta(minutes=1)
    async with database.write() as connection:
        [due] = await looks.behind(connection, before=later, limit=10)
        assert (due.kind, due.public_id, due.name) == ("sandbox", sandbox.id, "shed")
        await looks.confirm(connection, due)
        assert await looks.behind(connection, before=later, limit=10) == ()
        overdue = await looks.overdue(connection, before=sandbox.expires_at + SECOND, limit=10)
        assert [one.public_id for one in overdue] == [sandbox.id]
        assert await looks.overdue(connection, before=NOW, limit=10) == ()


async def test_snapshots_are_kept_as_long_as_their_sandbox_is_remembered(database: Database) -> None:
    sandbox = await want(database)
    assert await stands(database, await begin(database, sandbox))
    sha256 = await contents.keep(database, TENANT, b"files", NOW)
    other = await contents.keep(database, TENANT, b"nobody's", NOW)
    days = NOW + timedelta(days=2)
    async with database.write() as connection:
        for _ in range(2):
            await sandbox_progress.snapshot_taken(connection, TENANT, sandbox.id, 1, sha256, 5, NOW)
        await sandbox_progress.closed(connection, TENANT, sandbox.id, NOW)
    begun = await want(database, from_snapshot=sha256)
    async with database.write() as connection:
        assert await contents.forget_unnamed(connection, days) == 1
        assert await sandboxes.forget_ended(connection, days) == 1
        assert await contents.forget_unnamed(connection, days) == 0, "another one began with it"
        await sandbox_progress.closed(connection, TENANT, begun.id, NOW)
        assert await sandboxes.forget_ended(connection, days) == 1
        assert await contents.forget_unnamed(connection, days) == 1
    assert other != sha256
    with pytest.raises(Failure, match="there is no sandbox"):
        await get(database, sandbox)


async def test_another_tenants_is_not_there(database: Database) -> None:
    sandbox = await want(database, "globex")
    with pytest.raises(Failure, match="there is no sandbox"):
        await get(database, sandbox)
    async with database.write() as connection:
        with pytest.raises(Failure, match="there is no sandbox"):
            await sandboxes.close(connection, TENANT, sandbox.id, now=NOW, actor="t")
