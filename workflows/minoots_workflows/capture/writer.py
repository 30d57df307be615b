"""`WriterWorkflow`: one file that is recorded into; whoever writes, writes through it."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Moved, next_look, pace

    from .contracts import WriterStart, Written
    from .port import CapturePort
    from .stages import WRITE, told_of


@workflow.defn(name="Writer")
class WriterWorkflow:
    """One file, as long as anything is recorded into it."""

    @workflow.init
    def __init__(self, start: WriterStart) -> None:
        self._seen = Written()
        self._moves = 0
        self._written = 0

    @workflow.run
    async def run(self, start: WriterStart) -> Written:
        """Write whenever there is something to be written."""

        async def look() -> Written:
            self._written = self._moves
            self._seen = await workflow.execute_activity_method(
                CapturePort.write,
                start,
                **options.on_host(start.host, f"{WRITE}: {start.name}"),
            )
            workflow.set_current_details(told_of(self._seen, next_look(self._seen.wake_at)))
            return self._seen

        return await pace(start, look, lambda: self._moves > self._written)

    @workflow.signal
    def moved(self, move: Moved) -> None:
        """There is something to be written."""
        self._moves += 1

    @workflow.query
    def state(self) -> Written:
        """How the file stands."""
        return self._seen
