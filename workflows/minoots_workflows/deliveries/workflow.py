"""`DeliveryWorkflow`: owns the later attempts of one delivery, and nothing else.

When they are is up to the records; a delivery that waits for others is told by the signal ``due``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options

    from .contracts import (
        AttemptReport,
        AttemptRequest,
        DeliveryClose,
        DeliveryDue,
        DeliveryResult,
        DeliveryStart,
    )
    from .port import DeliveriesPort


@workflow.defn(name="Delivery")
class DeliveryWorkflow:
    """One delivery that failed at first or has to wait, until it succeeds or is given up."""

    @workflow.init
    def __init__(self, start: DeliveryStart) -> None:
        self._report = AttemptReport(state="retrying", next_at=start.next_at)
        self._told: DeliveryDue | None = None

    @workflow.run
    async def run(self, start: DeliveryStart) -> DeliveryResult:
        """Attempt after attempt, as the records plan them."""
        try:
            while self._report.next_at is not None:
                planned_at = await self._wait(start, self._report.next_at)
                self._report = await self._attempt(start, planned_at)
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

    @workflow.signal
    def due(self, due: DeliveryDue) -> None:
        """Make the next attempt at another time: what it waited for has come."""
        self._told = due

    @workflow.query
    def state(self) -> AttemptReport:
        """How the delivery stands."""
        return self._report

    async def _wait(self, start: DeliveryStart, planned_at: datetime) -> datetime:
        """Return shortly before the next attempt; when that is may change meanwhile."""
        while True:
            if self._told is not None:
                planned_at, self._told = self._told.planned_at, None
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start.model_copy(update={"next_at": planned_at}))
            when = f"next attempt {planned_at.isoformat(timespec='seconds')}"
            workflow.set_current_details(f"**{self._report.state}**, {when}")
            sleep = planned_at - timedelta(milliseconds=start.lead_ms) - workflow.now()
            if sleep <= timedelta(0):
                return planned_at
            try:
                await workflow.wait_condition(
                    lambda: self._told is not None, timeout=sleep, timeout_summary=when
                )
            except TimeoutError:
                return planned_at

    async def _attempt(self, start: DeliveryStart, planned_at: datetime) -> AttemptReport:
        return await workflow.execute_activity_method(
            DeliveriesPort.attempt,
            AttemptRequest(tenant=start.tenant, delivery_id=start.delivery_id, planned_at=planned_at),
            **options.SENDING,
        )
