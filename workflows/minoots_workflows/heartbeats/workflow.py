"""`HeartbeatWorkflow`: looks when silence would have begun.

A call moves that moment in the records and tells nobody: the workflow wakes at the old one, sees the new one
and sleeps on. So a call costs one row, however many there are.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Paced, Subject

    from .contracts import HeartbeatProgress
    from .port import HeartbeatsPort


@workflow.defn(name="Heartbeat")
class HeartbeatWorkflow(Paced[HeartbeatProgress]):
    """One heartbeat, until it is removed."""

    @workflow.init
    def __init__(self, heartbeat: Subject) -> None:
        self._begin(heartbeat, HeartbeatProgress())

    @workflow.run
    async def run(self, heartbeat: Subject) -> HeartbeatProgress:
        """Look when silence would have begun, and when somebody changed it."""

        async def look() -> HeartbeatProgress:
            return await workflow.execute_activity_method(HeartbeatsPort.look, heartbeat, **options.RECORDS)

        return await self._live(look, lambda found: f"**{found.state}**")

    @workflow.query
    def state(self) -> HeartbeatProgress:
        """How the heartbeat stands."""
        return self._seen
