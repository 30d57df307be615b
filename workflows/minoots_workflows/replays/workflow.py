"""`ReplayWorkflow`: walks through many dead letters, page by page.

The new deliveries stand in the records, not handed over; the reconciler starts them, so that a crash between
two pages loses none.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options

    from .contracts import ReplayProgress, ReplayStart
    from .port import ReplaysPort


@workflow.defn(name="Replay")
class ReplayWorkflow:
    """One replay by filter."""

    @workflow.init
    def __init__(self, start: ReplayStart) -> None:
        self._progress = ReplayProgress(finished=False)

    @workflow.run
    async def run(self, start: ReplayStart) -> ReplayProgress:
        """Advance until every matching dead letter was looked at."""
        while not self._progress.finished:
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start)
            self._progress = await workflow.execute_activity_method(
                ReplaysPort.advance, start, **options.RECORDS
            )
            workflow.set_current_details(f"{self._progress.replayed} of {self._progress.total} replayed")
        return self._progress

    @workflow.query
    def state(self) -> ReplayProgress:
        """How far it is."""
        return self._progress
