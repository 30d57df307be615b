"""A worker process: serves its queues until told to stop, then drains."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker, WorkerDeploymentConfig

from minoots._version import __version__
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, get_logger
from minoots_workflows.queues import Queue

from .descriptors import allow_many
from .namespace import ensure_search_attributes
from .parts import files_parts, io_parts, llm_parts, sandbox_parts, temporal_client
from .registry import Serving, serving_core

# 20 pollers of which 60 % ask for new work: with the SDK's defaults the first task of most workflows finds no
# poller and takes the way through the database.
_WORKFLOW_POLLERS: Final = PollerBehaviorSimpleMaximum(maximum=20)
_NONSTICKY_RATIO: Final = 0.6
_ACTIVITY_POLLERS: Final = PollerBehaviorSimpleMaximum(maximum=10)

# What the worker says it is in the Temporal UI. Without it the SDK would hash every module that is loaded.
DEPLOYMENT: Final = WorkerDeploymentConfig(
    version=WorkerDeploymentVersion(deployment_name="minoots", build_id=__version__),
    use_worker_versioning=False,
)

# 1 s instead of 10: after kill -9 the timers of a dead worker's cache wait for this long.
_STICKY_TIMEOUT: Final = timedelta(seconds=1)

_SLOWER: Final = frozenset({Queue.CORE, Queue.IO, Queue.FILES})
# What a job does learns with its heartbeat that it was cancelled, and has to stop within 2 s.
_THROTTLE_OF_JOBS: Final = timedelta(milliseconds=250)


_PLACES_OF_ONE: Final = 100
"""For each sandbox that a worker holds: more than jobs may wait for their turn in it, so that these take no
place of another's, whose signs of life would end."""


def build_worker(client: Client, queue: Queue | str, serving: Serving, settings: Settings) -> Worker:
    """Return the worker of one queue; one that is no `Queue` is of the sandboxes that this process holds."""
    most = settings.workers.max_concurrent_activities
    if queue is Queue.FILES:
        # Files wait in Temporal, where no time runs, and not in a worker; two more only look.
        most = min(most, settings.ingest.processes + 2)
    if queue is Queue.LLM:
        most = min(most, settings.models.at_once)
    if queue is Queue.SANDBOX:
        # Programs wait in Temporal, too: by their priority, and not in the memory of a machine that is full.
        most = min(most, settings.sandbox.at_once)
    if not isinstance(queue, Queue):
        # What is for a sandbox waits there for its turn, and has to be taken at once: that tells of life.
        most = settings.sandbox.standing.per_worker * _PLACES_OF_ONE
    return Worker(
        client,
        task_queue=queue,
        workflows=serving.workflows,
        activities=serving.activities,
        max_cached_workflows=settings.workers.max_cached_workflows,
        max_concurrent_activities=most,
        workflow_task_poller_behavior=_WORKFLOW_POLLERS,
        nonsticky_to_sticky_poll_ratio=_NONSTICKY_RATIO,
        activity_task_poller_behavior=_ACTIVITY_POLLERS,
        sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
        graceful_shutdown_timeout=timedelta(seconds=settings.workers.graceful_shutdown),
        deployment_config=DEPLOYMENT,
        # Heartbeats decide who takes over: they must not wait for 80 % of their timeout to be sent.
        max_heartbeat_throttle_interval=timedelta(seconds=1) if queue in _SLOWER else _THROTTLE_OF_JOBS,
    )


async def run_worker(
    settings: Settings, telemetry: Telemetry, queues: Collection[Queue], stop: asyncio.Event | None = None
) -> None:
    """Serve ``queues`` until SIGTERM, SIGINT or ``stop``; then let running attempts finish.

    Raises:
        Failure: unavailable, when Temporal does not answer.
    """
    stop = stop or stop_on_signals()
    started = asyncio.Event()
    serving = asyncio.create_task(_serve(settings, telemetry, queues, started, stop), name="serving")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if started.is_set() or serving.done():
        await serving
        return
    # Nothing is in flight yet: a stop need not wait until the server or the records have come.
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def _serve(
    settings: Settings,
    telemetry: Telemetry,
    queues: Collection[Queue],
    started: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    log = get_logger("minoots.worker")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(temporal_client(settings, telemetry))
        await ensure_search_attributes(client)
        background: list[asyncio.Task[None]] = []
        if Queue.CORE in queues:
            await stack.enter_async_context(build_worker(client, Queue.CORE, serving_core(), settings))
        if Queue.IO in queues:
            parts = await stack.enter_async_context(io_parts(settings, telemetry, client))
            background.append(asyncio.create_task(parts.handover.run(), name="reconciler"))
            background.append(asyncio.create_task(parts.forgetting.run(), name="forgetting"))
            background.append(asyncio.create_task(parts.watch.run(), name="lead"))
            background.append(asyncio.create_task(parts.health.run(), name="health of connectors"))
            await stack.enter_async_context(build_worker(client, Queue.IO, parts.serving, settings))
        if Queue.FILES in queues:
            files = await stack.enter_async_context(files_parts(settings))
            await stack.enter_async_context(build_worker(client, Queue.FILES, files, settings))
        if Queue.LLM in queues:
            models = await stack.enter_async_context(llm_parts(settings, telemetry))
            await stack.enter_async_context(build_worker(client, Queue.LLM, models, settings))
        if Queue.SANDBOX in queues:
            allow_many()
            programs = await stack.enter_async_context(sandbox_parts(settings, telemetry))
            await stack.enter_async_context(build_worker(client, programs.queue, programs.held, settings))
            await stack.enter_async_context(build_worker(client, Queue.SANDBOX, programs.serving, settings))
        started.set()
        log.info("worker.started", queues=sorted(queues))
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([stopping, *background], return_when=asyncio.FIRST_COMPLETED)
        log.info("worker.stopping")
        for task in (stopping, *background):
            task.cancel()
        for task in background:
            # A background task never ends by itself: if one did, its error is the reason of the stop.
            with suppress(asyncio.CancelledError):
                await task


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    return stop
