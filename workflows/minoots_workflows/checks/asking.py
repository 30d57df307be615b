"""Asking for a check and waiting for its answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from minoots.errors import Failure, FailureKind
from minoots_workflows import search_attributes
from minoots_workflows.ids import workflow_id
from minoots_workflows.queues import Queue

from .contracts import CheckAnswer, CheckStart
from .workflow import CheckWorkflow

PATIENCE: Final = timedelta(seconds=40)
"""Longer than any attempt may take."""


async def ask(client: Client, start: CheckStart, check_id: str) -> CheckAnswer:
    """Return what a worker found.

    Raises:
        Failure: unavailable, when Temporal is away or no worker looked in time.
    """
    try:
        async with asyncio.timeout(PATIENCE.total_seconds() + 1):
            return await client.execute_workflow(
                CheckWorkflow.run,
                start,
                id=workflow_id("check", start.tenant, check_id),
                task_queue=Queue.CORE,
                search_attributes=search_attributes.of_tenant(start.tenant),
                static_summary=start.kind,
                # Nobody wants to know later.
                execution_timeout=PATIENCE,
            )
    # RuntimeError: what the library raises while it has not been able to connect at all.
    except (WorkflowFailureError, RPCError, RuntimeError, TimeoutError) as error:
        raise Failure(
            FailureKind.UNAVAILABLE,
            "no worker has looked: Temporal is away, or no worker answered in time",
            remedy="See that Temporal and a worker of the queues core and io run: GET /readyz.",
        ) from error
