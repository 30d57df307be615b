"""`ReplaysPort`: walk through dead letters, a page at a time."""

from __future__ import annotations

from temporalio import activity

from minoots_platform.clock import Clock
from minoots_platform.records import Database, replays
from minoots_workflows.replays.contracts import ReplayProgress, ReplayStart
from minoots_workflows.replays.port import ReplaysPort


class Replays(ReplaysPort):
    """Replays by filter, on the records."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @activity.defn(name="replays.advance")
    async def advance(self, request: ReplayStart) -> ReplayProgress:
        """Make new deliveries for the next page of matching dead letters and remember the place."""
        async with self._database.write() as connection:
            replay = await replays.advance(connection, request.tenant, request.replay_id, now=self._clock())
        return ReplayProgress(
            finished=replay.state == replays.DONE,
            replayed=replay.replayed,
            total=replay.total,
        )
