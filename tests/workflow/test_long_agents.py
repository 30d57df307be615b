"""Agents that work for long: a hundred calls over a long conversation, in histories that stay short."""

from __future__ import annotations

import json

import pytest
from agents_at_work import CALLS, RESULT_BYTES, long_script, long_task, result_of, said
from model_servers import entry, model_server
from stacks import TENANT, short_histories
from working import ended, submit

from minoots.contracts import JobState
from minoots_platform.records import Database
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry
from minoots_workflows.ids import workflow_id

MOST_A_CALL = 4000
"""Bytes of history: two activities and their workflow tasks, and not a word of what is said."""


@pytest.mark.timeout(400)
async def test_a_hundred_calls_over_200_000_tokens_are_one_job_in_short_histories(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with model_server(**long_script()) as url:
        settings = Settings.model_validate({"models": {"providers": [entry("ollama", url)]}})
        async with short_histories(sqlite_database, telemetry, 500, settings) as stack:
            job = await submit(stack, **await long_task(sqlite_database))
            done = await ended(stack, job, timeout=300)
            assert done.state is JobState.SUCCEEDED, done
            result = result_of(done)
            assert (result.turns, result.calls, result.refused) == (CALLS + 1, CALLS, 0)
            spoken = await said(stack, job)
            assert len(spoken) == 2 + 2 * CALLS + 1
            assert sum(len(json.dumps(one)) for one in spoken) / 4 > 200_000
            told = [one["text"] for one in spoken if one["role"] == "tool"]
            assert min(len(one) for one in told) >= RESULT_BYTES
            assert len(set(told)) == CALLS, "nothing was lost and nothing said twice between histories"
            public_id = workflow_id("job", TENANT, job.id)
            await stack.client.get_workflow_handle(public_id).result()
            runs = [one async for one in stack.client.list_workflows(f'WorkflowId = "{public_id}"')]
            size = 0
            for one in runs:
                handle = stack.client.get_workflow_handle(public_id, run_id=one.run_id)
                history = await handle.fetch_history()
                assert len(history.events) < 600
                size += sum(event.ByteSize() for event in history.events)
                assert "xxxx" not in history.to_json()
            assert size / CALLS < MOST_A_CALL
