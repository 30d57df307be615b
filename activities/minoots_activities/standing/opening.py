"""`OpeningPort`: a sandbox is opened here if there is room, filled from its snapshot, and held."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Attempt, Heard
from minoots_activities.jobs.working import beating, without_words
from minoots_activities.sandboxes.tiers import Tiers
from minoots_platform.clock import Clock
from minoots_platform.records import Database, contents, job_problems, sandbox_progress
from minoots_platform.records.sandbox_progress import Opening
from minoots_platform.telemetry import audit
from minoots_workflows.pacing import Subject
from minoots_workflows.sandboxes.port import OpeningPort

from .holder import Held, Holder, NoRoom

_PRIORITY: Final = 3
"""Among jobs that wait for memory, as those that say nothing else."""
_AGAIN: Final = timedelta(seconds=1)
"""Until it is tried again, here or by another worker: one may be closed any moment."""
_TRIES: Final = 10
"""After so many failures, no worker is taken to be able to."""


class Openings(OpeningPort):
    """Opens sandboxes on this machine.

    Args:
        database: the records.
        tiers: what sandboxes there are.
        holder: who holds them.
        clock: the time.
    """

    def __init__(self, database: Database, tiers: Tiers, holder: Holder, clock: Clock) -> None:
        self._database = database
        self._tiers = tiers
        self._holder = holder
        self._clock = clock

    @activity.defn(name="sandboxes.open")
    async def open(self, sandbox: Subject) -> None:
        """Open a sandbox and note which worker holds it."""
        async with without_words(sandbox.id), beating():
            async with self._database.write() as connection:
                opening = await sandbox_progress.begin(connection, sandbox.tenant, sandbox.id, self._clock())
            if opening is None:
                return
            try:
                with self._holder.room():
                    await self._open(opening)
            except Failure as failure:
                # Room comes; what a machine lacks, another one may have, or none.
                failed = not isinstance(failure, NoRoom)
                hopeless = failed and opening.failures + 1 >= _TRIES
                final = failure.kind is not FailureKind.UNAVAILABLE or hopeless
                # What was begun of it is gone: nothing has happened.
                problem = job_problems.problem_of(failure, "never_started")
                async with self._database.write() as connection:
                    await sandbox_progress.not_opened(
                        connection, opening, problem, self._clock(), final=final, failed=failed
                    )
                if not final:
                    # The words are in the records.
                    raise ApplicationError(
                        "not opened", type=failure.kind.value, next_retry_delay=_AGAIN
                    ) from None

    async def _open(self, opening: Opening) -> None:
        snapshot = None
        if opening.snapshot is not None:
            # Read first: a sandbox waits for nothing.
            snapshot = await contents.read(self._database, opening.tenant, opening.snapshot)
        spec, name = opening.spec, f"{opening.sandbox_id}-{opening.epoch}"
        now = self._clock()
        async with AsyncExitStack() as stack:
            # Of the machine's memory, as long as it stands. It has its place since it was asked for, however
            # often an opening was begun anew.
            await stack.enter_async_context(
                self._tiers.hold(
                    spec.tier,
                    name,
                    spec.limits,
                    _PRIORITY,
                    lasts=max(timedelta(0), opening.expires_at - now),
                    waited=max(timedelta(0), now - opening.asked_at),
                    whose=opening.tenant,
                )
            )
            sandbox = await self._tiers.create(
                spec.tier,
                name,
                spec.limits,
                network=spec.network,
                heard=_heard_by(opening),
                image=spec.image,
            )
            memory = stack.pop_all()
        held = Held(opening.tenant, opening.sandbox_id, opening.epoch, sandbox, memory, spec.keep)
        try:
            if snapshot is not None:
                await sandbox.restore(snapshot)
            await self._holder.take(held)
            async with self._database.write() as connection:
                stands = await sandbox_progress.opened(
                    connection, opening, self._holder.queue, sandbox.held_by, self._clock()
                )
        except BaseException:
            await asyncio.shield(self._end(held))
            raise
        if not stands:
            await self._end(held)

    async def _end(self, held: Held) -> None:
        await self._holder.close(held.sandbox_id, held.epoch)
        await held.end()


def _heard_by(opening: Opening) -> Heard:
    """Return who writes down that a program wants to reach a host, before it does: the audit."""

    def hear(attempt: Attempt) -> None:
        about = {"reason": attempt.reason} if attempt.reason else {}
        audit(
            "sandbox.network",
            actor=opening.actor,
            tenant=opening.tenant,
            decision="allow" if attempt.allowed else "deny",
            sandbox=opening.sandbox_id,
            host=attempt.host,
            port=attempt.port,
            **about,
        )

    return hear
