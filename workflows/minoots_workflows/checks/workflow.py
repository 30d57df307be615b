"""`CheckWorkflow`: has a worker look whether an action could be sent; workers reach receivers."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from minoots_workflows import options

    from .contracts import CheckAnswer, CheckStart
    from .port import ChecksPort


@workflow.defn(name="Check")
class CheckWorkflow:
    """One look."""

    @workflow.init
    def __init__(self, start: CheckStart) -> None:
        self._answer: CheckAnswer | None = None

    @workflow.run
    async def run(self, start: CheckStart) -> CheckAnswer:
        """Look once."""
        self._answer = await workflow.execute_activity_method(ChecksPort.look, start, **options.LOOKING)
        return self._answer

    @workflow.query
    def state(self) -> CheckAnswer | None:
        """What was found, or that somebody still looks."""
        return self._answer
