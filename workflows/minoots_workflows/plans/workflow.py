"""`PlanWorkflow`: has a plan carried on whenever something in it has ended.

Its nodes are timers, each a `TimerWorkflow` of its own that names this plan. They are no children of this
workflow in the sense of Temporal: those do not survive its continuing as new, and they would be called off
past the records, which decide every race.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import next_look, pace

    from .contracts import PlanAdvance, PlanMoved, PlanProgress, PlanStart
    from .port import PlansPort


@workflow.defn(name="Plan")
class PlanWorkflow:
    """One plan, until its last node has ended."""

    @workflow.init
    def __init__(self, start: PlanStart) -> None:
        self._start = start
        self._progress = PlanProgress()
        self._moves = 0
        self._looked_at = 0

    @workflow.run
    async def run(self, start: PlanStart) -> PlanProgress:
        """Advance whenever a timer of the plan has ended, somebody changed it, or a deadline passes."""
        return await pace(start, self._advance, lambda: self._moves > self._looked_at)

    @workflow.signal
    def moved(self, move: PlanMoved) -> None:
        """Look at the records again."""
        self._moves += 1

    @workflow.query
    def state(self) -> PlanProgress:
        """How the plan stands."""
        return self._progress

    async def _advance(self) -> PlanProgress:
        self._looked_at = self._moves
        self._progress = await workflow.execute_activity_method(
            PlansPort.advance,
            PlanAdvance(tenant=self._start.tenant, plan_id=self._start.plan_id),
            **options.RECORDS,
        )
        found = self._progress
        workflow.set_current_details(
            f"**{found.state}**, {found.ended} of {found.nodes} nodes have ended, "
            f"{found.begun - found.ended} under way; {next_look(found.wake_at)}"
        )
        return found
