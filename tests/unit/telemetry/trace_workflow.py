"""A workflow that tells in which trace its activity ran (a module of its own: the sandbox imports it)."""

from datetime import timedelta

from opentelemetry.trace import get_current_span
from temporalio import activity, workflow


@activity.defn(name="test.trace")
async def current_trace() -> str:
    return f"{get_current_span().get_span_context().trace_id:032x}"


@workflow.defn(name="TestTrace")
class TraceWorkflow:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(0.01)
        result: str = await workflow.execute_activity(
            "test.trace", result_type=str, start_to_close_timeout=timedelta(seconds=10)
        )
        return result
