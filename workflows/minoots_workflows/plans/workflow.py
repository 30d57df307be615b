"""`PlanWorkflow`: has a plan carried on whenever something in it has ended.

Its nodes are timers, each a `TimerWorkflow` of its own that names this plan. They are no children of this
workflow in the sense of Temporal: those do not survive its continuing as new, and they would be called off
past the records, which decide every race.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Paced, Subject

    from .contracts import PlanProgress
    from .port import PlansPort


@workflow.defn(name="Plan")
class PlanWorkflow(Paced[PlanProgress]):
    """One plan, until its last node has ended."""

    @workflow.init
    def __init__(self, plan: Subject) -> None:
        self._begin(plan, PlanProgress())

    @workflow.run
    async def run(self, plan: Subject) -> PlanProgress:
        """Advance whenever a timer of the plan has ended, somebody changed it, or a deadline passes."""

        async def look() -> PlanProgress:
            return await workflow.execute_activity_method(PlansPort.advance, plan, **options.RECORDS)

        return await self._live(
            look,
            lambda found: (
                f"**{found.state}**, {found.ended} of {found.nodes} nodes have ended, "
                f"{found.begun - found.ended} under way"
            ),
        )

    @workflow.query
    def state(self) -> PlanProgress:
        """How the plan stands."""
        return self._seen
