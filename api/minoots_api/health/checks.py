"""What a gateway needs in order to be of use: records, Temporal, workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import sqlalchemy as sa
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.service import RPCError

from minoots_api.gateway import Gateway
from minoots_platform.records import revision
from minoots_workflows.queues import Queue

OK: Final = "ok"
_PATIENCE: Final = 3.0

_POLLED: Final = (
    (Queue.CORE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
    (Queue.IO, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
)


async def check(gateway: Gateway) -> dict[str, str]:
    """Return for each thing that is needed ``ok``, or what is wrong with it."""
    checks: dict[str, Callable[[Gateway], Awaitable[str]]] = {
        "records": _records,
        "temporal": _temporal,
        "workers": _workers,
    }
    states = await asyncio.gather(*(_bounded(one, gateway) for one in checks.values()))
    return dict(zip(checks, states, strict=True))


async def _bounded(one: Callable[[Gateway], Awaitable[str]], gateway: Gateway) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await one(gateway)
    except TimeoutError:
        return f"no answer within {_PATIENCE:g} s"
    except (RPCError, RuntimeError):
        # RuntimeError: what the Temporal SDK raises when its lazy connection fails.
        return "cannot be reached"
    except (sa.exc.SQLAlchemyError, OSError):
        return "cannot be reached"


async def _records(gateway: Gateway) -> str:
    async with gateway.database.read() as connection:
        found = await revision.current(connection)
    needed = revision.NEEDED
    return (
        OK
        if found == needed
        else f"at schema {found}, not {needed}: run python -m minoots_platform.records.migrate"
    )


async def _temporal(gateway: Gateway) -> str:
    if gateway.temporal is None:
        return "not configured"
    await gateway.temporal.workflow_service.get_system_info(GetSystemInfoRequest())
    return OK


async def _workers(gateway: Gateway) -> str:
    if gateway.temporal is None:
        return "not configured"
    idle = []
    for queue, kind in _POLLED:
        described = await gateway.temporal.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=gateway.temporal.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
            )
        )
        if not described.pollers:
            idle.append(queue.value)
    return OK if not idle else f"nobody polls {', '.join(idle)}: start minoots worker"
