"""`SandboxesPort` on the records."""

from __future__ import annotations

from temporalio import activity

from minoots.contracts import JobProblem
from minoots.errors import FailureKind
from minoots_platform.clock import Clock
from minoots_platform.records import Database, sandbox_progress
from minoots_workflows.sandboxes.contracts import Happened, SandboxLook, SandboxNeeds, SandboxSeen
from minoots_workflows.sandboxes.port import SandboxesPort

LOST = JobProblem(
    kind=FailureKind.UNAVAILABLE,
    detail="its worker went, or it ended by itself: what was in it is gone",
    remedy="Open another; from_snapshot begins with the files of a snapshot, keep does so by itself.",
    outcome="unknown",
)


class StandingSandboxes(SandboxesPort):
    """Sandboxes that stand, on the records."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @activity.defn(name="sandboxes.next")
    async def next(self, seen: SandboxSeen) -> SandboxLook:
        """Note what has happened to a sandbox, and tell what is next for it."""
        tenant, sandbox_id, now = seen.tenant, seen.sandbox_id, self._clock()
        async with self._database.write() as connection:
            if seen.happened is Happened.LOST:
                await sandbox_progress.lost(connection, tenant, sandbox_id, seen.epoch, LOST, now)
            elif seen.happened in (Happened.CLOSED, Happened.CANCELLED):
                await sandbox_progress.closed(connection, tenant, sandbox_id, now)
            found = await sandbox_progress.look(connection, tenant, sandbox_id, now)
        return SandboxLook(
            state=found.state.value,
            needs=SandboxNeeds(found.needs.value),
            epoch=found.epoch,
            queue=found.queue,
            wake_at=found.wake_at,
        )
