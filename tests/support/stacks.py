"""The real parts wired together in one process: records, Temporal, worker. Only the gateway is missing."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

from cryptography.fernet import Fernet
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from minoots.contracts import Attempt, Timer, TimerCreate, TimerState, WebhookAction
from minoots_activities.checks.adapter import Checks
from minoots_activities.connectors import World, connectors
from minoots_activities.deliveries.adapter import Deliveries
from minoots_activities.deliveries.attempt import Attempts
from minoots_activities.escalations.adapter import Escalations
from minoots_activities.escalations.heartbeats import Heartbeats
from minoots_activities.http import WebhookSender
from minoots_activities.ingest.adapter import Ingests
from minoots_activities.ingest.reading import Plan
from minoots_activities.jobs.adapter import Jobs
from minoots_activities.jobs.agents.thinking import Thinking
from minoots_activities.jobs.contents import KeptContents
from minoots_activities.jobs.model_calls import ModelCalls
from minoots_activities.models.opening import open_router
from minoots_activities.plans.adapter import Plans
from minoots_activities.replays.adapter import Replays
from minoots_activities.schedules.adapter import Schedules
from minoots_activities.standing.adapter import StandingSandboxes
from minoots_activities.standing.holder import Holder
from minoots_activities.timers.adapter import Timers
from minoots_activities.timers.lead import LeadWatch
from minoots_platform.clock import utc_now
from minoots_platform.handover import HandOver
from minoots_platform.links import Links
from minoots_platform.records import Database, attempts, commands, timers
from minoots_platform.settings import Settings, with_overrides
from minoots_platform.telemetry import Telemetry
from minoots_platform.vault import Vault
from minoots_workers.parts import policy_of, sandboxes_of, tiers_of
from minoots_workers.process import build_worker
from minoots_workers.registry import (
    Serving,
    serving_core,
    serving_files,
    serving_io,
    serving_llm,
)
from minoots_workflows.handover import Engine
from minoots_workflows.ids import workflow_id
from minoots_workflows.queues import Queue
from minoots_workflows.search_attributes import REGISTRY
from minoots_workflows.timers.contracts import TimerResult
from minoots_workflows.timers.workflow import TimerWorkflow

TENANT = "acme"
TEMPORAL = str(Path(sysconfig.get_path("scripts")) / "temporal")
STARTED_WITHIN = timedelta(seconds=90)
"""Of a Temporal server: the library gives up after 5 s, which a busy machine may need."""
T = TypeVar("T")


@dataclass
class Stack:
    """A tenant's view of the parts, with the calls that a gateway makes."""

    client: Client
    database: Database
    vault: Vault
    handover: HandOver
    watch: LeadWatch
    workers: Callable[[], list[Worker]]
    end_held: Callable[[], Awaitable[None]]
    """Ends the sandboxes that the workers hold, as a worker process does when it stops."""
    tenant: str = TENANT
    _running: list[Worker] = field(default_factory=list)

    async def start_workers(self) -> None:
        """Serve both queues."""
        self._running = self.workers()
        for worker in self._running:
            await worker.__aenter__()

    async def stop_workers(self) -> None:
        """Stop serving; running activities are cancelled after the grace of the settings."""
        while self._running:
            await self._running.pop().__aexit__(None, None, None)
        await self.end_held()

    async def accept(
        self, url: str, *, after: float = 0.3, traceparent: str | None = None, **spec: Any
    ) -> Timer:
        """Keep a timer without telling the engine."""
        now = utc_now()
        action = WebhookAction(url=url)
        create = TimerCreate.model_validate({"name": "t", "after": after, "actions": [action], **spec})
        async with self.database.write() as connection:
            return await timers.accept(
                connection,
                self.tenant,
                create,
                fire_at=now + timedelta(seconds=after),
                now=now,
                actor="test",
                traceparent=traceparent,
            )

    async def set(self, url: str, *, after: float = 0.3, **spec: Any) -> Timer:
        """Set a timer and hand it over."""
        timer = await self.accept(url, after=after, **spec)
        assert await self.handover.timer(self.tenant, timer.id)
        return timer

    async def command(self, timer: Timer, command: commands.Command) -> Timer:
        """Change a timer and hand the change over."""
        changed = await self.change(timer, command)
        await self.handover.timer(self.tenant, timer.id)
        return changed

    async def change(self, timer: Timer, command: commands.Command) -> Timer:
        """Change a timer without telling the engine."""
        async with self.database.write() as connection:
            return await commands.change(
                connection, self.tenant, timer.id, command, now=utc_now(), actor="test", if_generation=None
            )

    async def get(self, timer: Timer) -> Timer:
        """The timer as it stands."""
        async with self.database.read() as connection:
            return await timers.get(connection, self.tenant, timer.id)

    async def attempts(self, timer: Timer) -> tuple[Attempt, ...]:
        """Its attempts."""
        async with self.database.read() as connection:
            return await attempts.of_timer(connection, self.tenant, timer.id)

    async def reaches(self, timer: Timer, *states: TimerState) -> Timer:
        """The timer, once it is in one of ``states``."""
        return await eventually(lambda: self.get(timer), lambda found: found.state in states)

    def workflow(self, timer: Timer) -> WorkflowHandle[TimerWorkflow, TimerResult]:
        """The handle of its workflow."""
        public_id = workflow_id("timer", self.tenant, timer.id)
        return self.client.get_workflow_handle_for(TimerWorkflow.run, public_id)


async def eventually(
    look: Callable[[], Awaitable[T]], satisfied: Callable[[T], bool], timeout: float = 60
) -> T:
    """Look until what is seen satisfies; fail with the last sight after ``timeout`` seconds."""
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        seen = await look()
        if satisfied(seen):
            return seen
        assert asyncio.get_running_loop().time() < deadline, f"still {seen!r}"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def stack_of(
    database: Database,
    address: str,
    namespace: str,
    telemetry: Telemetry,
    clock: Callable[[], datetime] = utc_now,
    settings: Settings | None = None,
) -> AsyncIterator[Stack]:
    """Yield the parts around ``database``, with workers serving."""
    settings = with_overrides(
        settings or Settings(),
        {
            "workers": {"graceful_shutdown": 0.5},
            "delivery": {"allowed_networks": ["127.0.0.0/8"]},
            "sandbox": {"allow_process": True},
        },
    )
    client = await Client.connect(
        address,
        namespace=namespace,
        data_converter=pydantic_data_converter,
        interceptors=[TracingInterceptor(telemetry.tracer)],
        identity="test",
    )
    vault = Vault([Fernet.generate_key().decode()])
    links = Links(vault, "http://127.0.0.1:4000")
    async with (
        AsyncExitStack() as beside,
        WebhookSender(allowed_networks=(ip_network("127.0.0.0/8"),), user_agent="test") as sender,
        connectors(
            World(settings, client, sender, database, vault, telemetry.tracer, clock), links
        ) as installed,
    ):
        making = Attempts(installed, telemetry.metrics, clock)
        watch = LeadWatch("test", database, telemetry.metrics, clock)
        handover = HandOver(database, Engine(client), clock)
        serving: dict[str, Serving] = {
            Queue.CORE: serving_core(),
            Queue.IO: serving_io(
                Timers(database, making, watch, handover, telemetry.metrics, clock),
                Deliveries(database, making, handover, clock),
                Replays(database, clock),
                Schedules(database, handover, clock),
                Plans(database, handover, clock),
                Escalations(database, handover, clock),
                Heartbeats(database, handover, clock),
                Checks(installed, vault, clock),
                Jobs(database, clock),
                StandingSandboxes(database, clock),
            ),
            Queue.FILES: serving_files(
                Ingests(
                    database,
                    vault,
                    Plan(policy_of(settings.capture), settings.ingest.chunk_size, 20, 1024),
                    clock,
                    at_once=3,
                    processes=1,
                )
            ),
        }
        tiers = await beside.enter_async_context(aclosing(tiers_of(settings, telemetry)))
        holder = await beside.enter_async_context(
            Holder(database, clock, settings.sandbox.standing.per_worker).holding()
        )
        standing = sandboxes_of(settings, database, tiers, holder)
        serving[Queue.SANDBOX] = standing.serving
        serving[standing.queue] = standing.held
        if settings.models != Settings().models:
            kept = KeptContents(database)
            opened = await beside.enter_async_context(
                open_router(settings, database, telemetry, kept, look=False)
            )
            asking = (database, opened.router, settings.jobs, clock)
            serving[Queue.LLM] = serving_llm(ModelCalls(*asking), Thinking(*asking))
        stack = Stack(
            client=client,
            database=database,
            vault=vault,
            handover=handover,
            watch=watch,
            end_held=holder.close_all,
            workers=lambda: [build_worker(client, queue, serving[queue], settings) for queue in serving],
        )
        await stack.start_workers()
        try:
            yield stack
        finally:
            await stack.stop_workers()


@asynccontextmanager
async def short_histories(
    database: Database, telemetry: Telemetry, events: int = 30, settings: Settings | None = None
) -> AsyncIterator[Stack]:
    """A stack whose Temporal suggests to continue as new after a few events, on a server of its own."""
    arguments = ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={events}"]
    for name, kind in REGISTRY:
        arguments += ["--search-attribute", f"{name}={kind}"]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        dev_server_extra_args=arguments,
        dev_server_startup_timeout=STARTED_WITHIN,
    ) as environment:
        address = environment.client.service_client.config.target_host
        async with stack_of(database, address, "default", telemetry, settings=settings) as stack:
            yield stack
