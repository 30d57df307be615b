"""`PlansPort`: carry a plan on in the records, and hand its timers over."""

from __future__ import annotations

from temporalio import activity

from minoots_platform.clock import Clock
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, plan_progress
from minoots_workflows.pacing import Subject
from minoots_workflows.plans.contracts import PlanProgress
from minoots_workflows.plans.port import PlansPort


class Plans(PlansPort):
    """Plans, on the records."""

    def __init__(self, database: Database, handover: HandOver, clock: Clock) -> None:
        self._database = database
        self._handover = handover
        self._clock = clock

    @activity.defn(name="plans.advance")
    async def advance(self, plan: Subject) -> PlanProgress:
        """Take over what has ended, begin what follows, each once, and tell when to look again."""
        async with self._database.write() as connection:
            advanced = await plan_progress.advance(connection, plan.tenant, plan.id, now=self._clock())
        # Of those that could not be handed over, the reconciler takes care.
        await self._handover.timers_of(plan.id)
        return PlanProgress(
            state=advanced.state,
            generation=advanced.generation,
            over=advanced.over,
            begun=advanced.begun,
            ended=advanced.ended,
            nodes=advanced.nodes,
            wake_at=advanced.wake_at,
        )
