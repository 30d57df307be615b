"""`TimerWorkflow`: waits until shortly before the due time, then has the timer fired.

Owns the waiting and the order of things. The records decide every race (see ``timers.fire``), so a change
that this workflow has not heard of yet still wins until the moment of sending.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options, search_attributes
    from minoots_workflows.deliveries.contracts import DeliveryResult, DeliveryStart
    from minoots_workflows.deliveries.workflow import DeliveryWorkflow
    from minoots_workflows.ids import workflow_id
    from minoots_workflows.summaries import summary_of

    from .contracts import (
        FireOutcome,
        FireReport,
        FireRequest,
        Phase,
        TimerChange,
        TimerClose,
        TimerProgress,
        TimerResult,
        TimerStart,
    )
    from .port import TimersPort

_RESULTS = {
    FireOutcome.SETTLED: "settled",
    FireOutcome.AWAITING: "awaiting",
    FireOutcome.FAILED: "failed",
    FireOutcome.SKIPPED: "cancelled",
    FireOutcome.CLOSED: "cancelled",
}


@workflow.defn(name="Timer")
class TimerWorkflow:
    """One timer, from arming to settled, failed or cancelled."""

    @workflow.init
    def __init__(self, start: TimerStart) -> None:
        self._start = start
        self._cancelled = False
        self._progress = TimerProgress(
            phase=Phase.PAUSED if start.paused else Phase.WAITING,
            generation=start.generation,
            fire_at=start.fire_at,
            lead_ms=start.lead_ms,
        )

    @workflow.run
    async def run(self, start: TimerStart) -> TimerResult:
        """Wait, fire, and see every action through."""
        try:
            return await self._live()
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            await workflow.execute_activity_method(
                TimersPort.close,
                TimerClose(tenant=start.tenant, timer_id=start.timer_id, by="temporal"),
                **options.RECORDS,
            )
            self._enter(Phase.CLOSED)
            raise

    async def _live(self) -> TimerResult:
        while not self._cancelled:
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._as_start())
            generation = self._progress.generation
            if self._progress.phase is Phase.PAUSED:
                await self._change_after(generation)
                continue
            report = await self._fire_when_due(generation)
            if report is None:
                continue
            if report.change is not None:
                # The hand-over of a change was lost or is still under way; the records have told us first.
                if report.change.generation > self._progress.generation:
                    self._apply(report.change)
                continue
            state = _RESULTS.get(report.outcome) or await self._deliver(report.deliveries)
            self._enter(Phase.CLOSED)
            await workflow.wait_condition(workflow.all_handlers_finished)
            return TimerResult(state=state)
        self._enter(Phase.CLOSED)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return TimerResult(state="cancelled")

    async def _fire_when_due(self, generation: int) -> FireReport | None:
        """Return how firing ended, or ``None`` when a change came first."""
        progress = self._progress
        wake_at = progress.fire_at - timedelta(milliseconds=progress.lead_ms)
        sleep = wake_at - workflow.now()
        if sleep > timedelta(0):
            try:
                await workflow.wait_condition(
                    lambda: self._changed_since(generation),
                    timeout=sleep,
                    timeout_summary=f"due {progress.fire_at.isoformat(timespec='milliseconds')}",
                )
            except TimeoutError:
                pass
            else:
                return None
        self._enter(Phase.FIRING)
        firing = workflow.start_activity_method(
            TimersPort.fire,
            FireRequest(
                tenant=self._start.tenant,
                timer_id=self._start.timer_id,
                generation=generation,
                fire_at=progress.fire_at,
                wake_at=wake_at if sleep > timedelta(0) else None,
            ),
            **(options.SENDING | {"summary": summary_of(self._start.name)}),
        )
        await workflow.wait_condition(lambda: firing.done() or self._changed_since(generation))
        if not firing.done():
            # Its end is of no interest any more; unread, asyncio would log it as forgotten.
            firing.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            firing.cancel()
            return None
        report: FireReport = await firing
        return report

    async def _deliver(self, deliveries: tuple[DeliveryStart, ...]) -> str:
        """See the actions through that failed or have to wait; return the timer's final state."""
        self._enter(Phase.DELIVERING)
        children = [child for one in deliveries if (child := await self._begin(one)) is not None]
        await workflow.wait_condition(lambda: self._cancelled or all(child.done() for child in children))
        if self._cancelled:
            for child in children:
                child.cancel()
        results = await asyncio.gather(*children, return_exceptions=True)
        if self._cancelled:
            return "cancelled"
        succeeded = all(not isinstance(result, BaseException) and result.succeeded for result in results)
        if len(children) < len(deliveries):
            return "delivering" if succeeded else "failed"
        return "settled" if succeeded else "failed"

    async def _begin(
        self, delivery: DeliveryStart
    ) -> workflow.ChildWorkflowHandle[DeliveryWorkflow, DeliveryResult] | None:
        """Start the workflow of a delivery; ``None`` where it was started while this one was long away."""
        try:
            return await workflow.start_child_workflow(
                DeliveryWorkflow.run,
                delivery,
                id=workflow_id("delivery", delivery.tenant, delivery.delivery_id),
                static_summary=summary_of(self._start.name),
                search_attributes=search_attributes.of_tenant(delivery.tenant),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return None

    # Updates. The gateway has changed the records before it sends one; each carries how the timer stands
    # since.

    @workflow.update
    def reschedule(self, change: TimerChange) -> TimerProgress:
        """Take over a new due time, payload or label."""
        return self._apply(change)

    @workflow.update
    def pause(self, change: TimerChange) -> TimerProgress:
        """Stop waiting until resumed."""
        return self._apply(change)

    @workflow.update
    def resume(self, change: TimerChange) -> TimerProgress:
        """Wait again; a due time that has passed fires at once."""
        return self._apply(change)

    @workflow.update
    def fire(self, change: TimerChange) -> TimerProgress:
        """Fire now: the change carries the present as due time."""
        return self._apply(change)

    @workflow.update
    def cancel(self, change: TimerChange) -> TimerProgress:
        """End without firing, or stop retrying."""
        self._cancelled = True
        return self._apply(change)

    @reschedule.validator
    def _may_reschedule(self, change: TimerChange) -> None:
        self._check(change)

    @pause.validator
    def _may_pause(self, change: TimerChange) -> None:
        self._check(change)

    @resume.validator
    def _may_resume(self, change: TimerChange) -> None:
        self._check(change)

    @fire.validator
    def _may_fire(self, change: TimerChange) -> None:
        self._check(change)

    @cancel.validator
    def _may_cancel(self, change: TimerChange) -> None:
        self._check(change, delivering=True)

    @workflow.query
    def state(self) -> TimerProgress:
        """How the timer stands."""
        return self._progress

    def _check(self, change: TimerChange, *, delivering: bool = False) -> None:
        if change.generation <= self._progress.generation:
            raise ApplicationError(
                f"expected a generation above {self._progress.generation}; got {change.generation}; "
                "the change is known already or a later one overtook it",
                type="stale",
                non_retryable=True,
            )
        closed = self._progress.phase is Phase.CLOSED
        if closed or (self._progress.phase is Phase.DELIVERING and not delivering):
            raise ApplicationError(
                f"the timer has fired (phase {self._progress.phase}); it can no longer be changed",
                type="conflict",
                non_retryable=True,
            )

    def _apply(self, change: TimerChange) -> TimerProgress:
        self._progress = self._progress.model_copy(
            update={"generation": change.generation, "fire_at": change.fire_at, "lead_ms": change.lead_ms}
        )
        if self._progress.phase is not Phase.DELIVERING:
            self._enter(Phase.PAUSED if change.paused else Phase.WAITING)
        return self._progress

    async def _change_after(self, generation: int) -> None:
        await workflow.wait_condition(lambda: self._changed_since(generation))

    def _changed_since(self, generation: int) -> bool:
        return self._cancelled or self._progress.generation != generation

    def _enter(self, phase: Phase) -> None:
        self._progress = self._progress.model_copy(update={"phase": phase})
        workflow.set_current_details(
            f"**{phase}**, generation {self._progress.generation}, "
            f"due {self._progress.fire_at.isoformat(timespec='milliseconds')}"
        )

    def _as_start(self) -> TimerStart:
        return self._start.model_copy(
            update={
                "generation": self._progress.generation,
                "fire_at": self._progress.fire_at,
                "lead_ms": self._progress.lead_ms,
                "paused": self._progress.phase is Phase.PAUSED,
            }
        )
