"""The same calls by `temporalio-openai-agents`: prints how far its history grows, as JSON.

Run by ``python -m benchmarks agents`` with the Python that BESIDE names: one with that package, and nothing
of ours. Arguments: address of a Temporal server, of a model server, path of a task, number of calls.
"""

import asyncio
import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from agents import Agent, OpenAIProvider, Runner, set_tracing_disabled
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
from temporalio.contrib.openai_agents.workflow import activity_as_tool
from temporalio.worker import Worker

PATIENT = timedelta(seconds=60)


@activity.defn
async def read_part(part: int) -> str:
    """Return a part of a text: five kilobytes, as our agent reads them."""
    return "\n".join(f"{line}\t{line - 1:04d}{'x' * 99}" for line in range(part * 50 + 1, part * 50 + 51))


@workflow.defn
class Reading:
    """An agent that reads."""

    @workflow.run
    async def run(self, task: str) -> str:
        """Have it read."""
        tool = activity_as_tool(read_part, start_to_close_timeout=PATIENT)
        agent = Agent(name="reader", model="fake", instructions="Read.", tools=[tool])
        return str((await Runner.run(agent, input=task, max_turns=10_000)).final_output)


async def main(temporal: str, models: str, task: str, calls: str) -> None:
    """Run it, however it ends, and print what there is."""
    set_tracing_disabled(True)
    plugin = OpenAIAgentsPlugin(
        model_params=ModelActivityParameters(start_to_close_timeout=PATIENT),
        model_provider=OpenAIProvider(api_key="none", base_url=f"{models}/v1", use_responses=False),
    )
    client = await Client.connect(temporal, plugins=[plugin])
    async with Worker(client, task_queue="beside", workflows=[Reading], activities=[read_part]):
        began = time.perf_counter()
        handle = await client.start_workflow(Reading.run, task, id=f"beside-{calls}", task_queue="beside")
        try:
            await handle.result()
            ended = "completed"
        except WorkflowFailureError as error:
            ended = type(error.cause).__name__
        took = time.perf_counter() - began
        events = [event async for event in handle.fetch_history_events()]
        names = [event.activity_task_scheduled_event_attributes.activity_type.name for event in events]
        found = {
            "calls": names.count("read_part"),
            "events": len(events),
            "history_bytes": sum(event.ByteSize() for event in events),
            "seconds": took,
            "ended": ended,
        }
        print(json.dumps(found), flush=True)
        # A worker whose workflow was terminated in the middle of an activity takes minutes to go.
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text(), sys.argv[4]))
