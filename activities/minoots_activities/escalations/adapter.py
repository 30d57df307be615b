"""`EscalationsPort`: climb a ladder in the records, and hand its notices over."""

from __future__ import annotations

from temporalio import activity

from minoots.contracts import EscalationState
from minoots_platform.clock import Clock
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, escalation_progress, looks
from minoots_workflows.escalations.contracts import EscalationProgress
from minoots_workflows.escalations.port import EscalationsPort
from minoots_workflows.pacing import Subject


class Escalations(EscalationsPort):
    """Escalations, on the records."""

    def __init__(self, database: Database, handover: HandOver, clock: Clock) -> None:
        self._database = database
        self._handover = handover
        self._clock = clock

    @activity.defn(name="escalations.advance")
    async def advance(self, escalation: Subject) -> EscalationProgress:
        """Have those told who are due soon, each once, and tell when to look again."""
        async with self._database.write() as connection:
            advanced = await escalation_progress.advance(
                connection, escalation.tenant, escalation.id, now=self._clock()
            )
        # Of those that could not be handed over, the reconciler takes care.
        await self._handover.timers_of(escalation.id)
        if advanced.state is EscalationState.EXHAUSTED:
            async with self._database.read() as connection:
                owners = await looks.owners_of_awaiting(connection, escalation.id)
            if owners is not None:
                await self._handover.after_timer(
                    owners.timer_id, schedule_id=owners.schedule_id, parent_id=owners.parent_id
                )
        return EscalationProgress(
            state=advanced.state,
            generation=advanced.generation,
            over=advanced.over,
            wake_at=advanced.wake_at,
        )
