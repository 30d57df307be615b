"""`IngestWorkflow`: has the files of one ingest taken in, a few at a time, until none waits.

Which files wait stands in the records: after a crash, or when it continues as new, it goes on with those.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Moved, Subject

    from .contracts import FileDue, IngestBatch
    from .port import IngestPort


@workflow.defn(name="Ingest")
class IngestWorkflow:
    """One ingest, until every file of it has been seen to."""

    @workflow.init
    def __init__(self, ingest: Subject) -> None:
        self._ingest = ingest
        self._seen = IngestBatch()

    @workflow.run
    async def run(self, ingest: Subject) -> IngestBatch:
        """Take in what waits, batch by batch."""
        while True:
            self._seen = await workflow.execute_activity_method(IngestPort.next, ingest, **options.FILES)
            if self._seen.over:
                return self._seen
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ingest)
            await self._take(self._seen)

    @workflow.signal
    def moved(self, move: Moved) -> None:
        """It was handed over once more: nothing needs doing, what waits stands in the records."""

    @workflow.query
    def state(self) -> IngestBatch:
        """How the ingest stands."""
        return self._seen

    async def _take(self, batch: IngestBatch) -> None:
        slots = asyncio.Semaphore(batch.at_once)

        async def one(number: int) -> None:
            async with slots:
                file = FileDue(tenant=self._ingest.tenant, ingest_id=self._ingest.id, number=number)
                await workflow.execute_activity_method(IngestPort.take, file, **options.FILES)
            workflow.set_current_details(f"**{number}** of {batch.files} files")

        await asyncio.gather(*(one(number) for number in batch.waiting))
