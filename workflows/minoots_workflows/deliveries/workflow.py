"""`DeliveryWorkflow`: owns the retries of one delivery, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options

    from .contracts import AttemptReport, AttemptRequest, DeliveryClose, DeliveryResult, DeliveryStart
    from .port import DeliveriesPort


@workflow.defn(name="Delivery")
class DeliveryWorkflow:
    """One delivery that failed at first, until it succeeds or is given up."""

    @workflow.init
    def __init__(self, start: DeliveryStart) -> None:
        self._report = AttemptReport(state="retrying", next_at=start.next_at)

    @workflow.run
    async def run(self, start: DeliveryStart) -> DeliveryResult:
        """Attempt after attempt, as the records plan them."""
        try:
            while self._report.next_at is not None:
                self._report = await self._attempt(start, self._report)
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            await workflow.execute_activity_method(
                DeliveriesPort.close,
                DeliveryClose(tenant=start.tenant, delivery_id=start.delivery_id, by="temporal"),
                **options.RECORDS,
            )
            raise
        return DeliveryResult(state=self._report.state)

    @workflow.query
    def state(self) -> AttemptReport:
        """How the delivery stands."""
        return self._report

    async def _attempt(self, start: DeliveryStart, last: AttemptReport) -> AttemptReport:
        planned_at = last.next_at or start.next_at
        workflow.set_current_details(
            f"**{last.state}**, next attempt {planned_at.isoformat(timespec='seconds')}"
        )
        sleep = planned_at - timedelta(milliseconds=start.lead_ms) - workflow.now()
        if sleep > timedelta(0):
            await workflow.sleep(sleep, summary=f"next attempt {planned_at.isoformat(timespec='seconds')}")
        return await workflow.execute_activity_method(
            DeliveriesPort.attempt,
            AttemptRequest(tenant=start.tenant, delivery_id=start.delivery_id, planned_at=planned_at),
            **options.SENDING,
        )
