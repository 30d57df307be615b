"""`EscalationWorkflow`: has the next on a ladder told, until enough have acknowledged or all was in vain.

Owns only the waking up. Whoever is told gets a timer of their own, made some seconds ahead, so nothing here
has to be punctual; who is on call and what counts is decided in the records.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options
    from minoots_workflows.pacing import Paced, Subject

    from .contracts import EscalationProgress
    from .port import EscalationsPort


@workflow.defn(name="Escalation")
class EscalationWorkflow(Paced[EscalationProgress]):
    """One escalation, until nothing will happen any more by itself."""

    @workflow.init
    def __init__(self, escalation: Subject) -> None:
        self._begin(escalation, EscalationProgress())

    @workflow.run
    async def run(self, escalation: Subject) -> EscalationProgress:
        """Advance when the next are due, an acknowledgement times out, or somebody did something."""

        async def look() -> EscalationProgress:
            return await workflow.execute_activity_method(
                EscalationsPort.advance, escalation, **options.RECORDS
            )

        return await self._live(look, lambda found: f"**{found.state}**")

    @workflow.query
    def state(self) -> EscalationProgress:
        """How the escalation stands."""
        return self._seen
