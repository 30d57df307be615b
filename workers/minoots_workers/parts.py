"""Building the parts of a worker process from its settings, and taking them down in order.

What only one queue needs is imported when that is served: each process of a stack serves a few.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.client import Client

from minoots_platform.clock import utc_now
from minoots_platform.collector import loading
from minoots_platform.records import Database, revision
from minoots_platform.records.job_cleaning import Keep
from minoots_platform.redaction import Policy
from minoots_platform.settings import CaptureSettings, JobsSettings, Settings
from minoots_platform.telemetry import Telemetry, temporal_runtime
from minoots_platform.temporal import connect
from minoots_platform.vault import Vault

from .registry import Serving, serving_files, serving_held, serving_io, serving_llm, serving_sandbox

if TYPE_CHECKING:
    from minoots_activities.connectors import HealthWatch
    from minoots_activities.sandboxes.tiers import Tiers
    from minoots_activities.standing.holder import Holder
    from minoots_activities.timers.lead import LeadWatch
    from minoots_platform.forgetting import Forgetting
    from minoots_platform.handover import HandOver


@asynccontextmanager
async def temporal_client(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Client]:
    """Yield the connection of a worker process to Temporal.

    Raises:
        Failure: unavailable, when nobody answers there.
    """
    async with temporal_runtime(telemetry) as runtime:
        yield await connect(settings.temporal, telemetry, runtime)


def policy_of(capture: CaptureSettings) -> Policy:
    """Return what is done about secrets in whatever is taken in."""
    return Policy(capture.redaction, frozenset(capture.redaction_disabled), tuple(capture.redaction_allowed))


def keep_of(settings: JobsSettings) -> Keep:
    """Return how long what is over is kept."""
    return Keep(
        jobs=timedelta(days=settings.keep_days) or None,
        usage=timedelta(days=settings.keep_usage_days) or None,
    )


@asynccontextmanager
async def files_parts(settings: Settings) -> AsyncIterator[Serving]:
    """Yield what the queue ``files`` serves.

    Raises:
        Failure: unavailable, when the records are away or at another schema.
    """
    with loading():
        from minoots_activities.ingest.adapter import Ingests
        from minoots_activities.ingest.reading import Plan

    ingest = settings.ingest
    async with _records(settings) as database:
        plan = Plan(
            policy_of(settings.capture), ingest.chunk_size, ingest.read_seconds, ingest.read_megabytes
        )
        vault = Vault([key.get_secret_value() for key in settings.secrets.master_keys])
        yield serving_files(
            Ingests(database, vault, plan, utc_now, at_once=ingest.at_once, processes=ingest.processes)
        )


@asynccontextmanager
async def llm_parts(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Serving]:
    """Yield what the queue ``llm`` serves.

    Raises:
        Failure: unavailable, when the records are away or at another schema, or a plug-in is broken; invalid,
            for a catalogue of models that cannot be read.
    """
    with loading():
        from minoots_activities.jobs.agents.thinking import Thinking
        from minoots_activities.jobs.contents import KeptContents
        from minoots_activities.jobs.model_calls import ModelCalls
        from minoots_activities.models.opening import open_router

    async with (
        _records(settings) as database,
        open_router(settings, database, telemetry, KeptContents(database)) as opened,
    ):
        asking = (database, opened.router, settings.jobs, utc_now, telemetry.metrics.jobs)
        yield serving_llm(ModelCalls(*asking), Thinking(*asking))


def tiers_of(settings: Settings, telemetry: Telemetry | None = None) -> Tiers:
    """Return the sandboxes that settings allow on this machine, watched by ``telemetry``; to be closed."""
    from minoots.contracts.sandboxes import Tier
    from minoots_activities.egress.gate import Bounds
    from minoots_activities.sandboxes.engines import ContainerEngine
    from minoots_activities.sandboxes.room import Room, folder_of
    from minoots_activities.sandboxes.tiers import Ceilings, Network, Tiers
    from minoots_activities.sandboxes.watching import Watching
    from minoots_activities.vms.roots import Roots
    from minoots_platform.addresses import AddressPolicy
    from minoots_platform.network_rules import Rules

    from .machines import engine_of

    sandbox = settings.sandbox
    return Tiers(
        vm_image=settings.vm_image,
        machines=engine_of(settings),
        vm_roots=Roots(settings.vm_roots),
        allow_process=sandbox.allow_process,
        read_only=sandbox.read_only,
        use_cgroups=sandbox.cgroups,
        strong=[Tier(name) for name in sandbox.tiers],
        ceilings=Ceilings(
            memory_mb=sandbox.max_memory_mb,
            disk_mb=sandbox.max_disk_mb,
            cpus=sandbox.max_cpus,
            processes=sandbox.max_processes,
        ),
        engine=ContainerEngine(sandbox.container.engine, tuple(sandbox.container.options)),
        images=sandbox.container.images,
        room=Room(sandbox.memory_mb, sandbox.spare_memory_mb, folder=folder_of(settings.data_dir)),
        ready=sandbox.ready,
        watching=None if telemetry is None else Watching(telemetry.tracer, telemetry.metrics.jobs),
        network=Network(
            most=Rules.parse(sandbox.network.hosts),
            policy=AddressPolicy(sandbox.network.allowed_networks),
            bounds=Bounds(
                bytes=sandbox.network.max_megabytes * 1024 * 1024,
                at_once=sandbox.network.at_once,
                attempts=sandbox.network.max_connections,
                seconds=sandbox.network.max_seconds,
            ),
        ),
    )


@dataclass(frozen=True)
class SandboxParts:
    """What workers of sandboxes need: the queue of all, and the one of this worker alone."""

    serving: Serving
    held: Serving
    queue: str
    """Of this worker: whoever uses a sandbox that it holds asks there."""


def sandboxes_of(settings: Settings, database: Database, tiers: Tiers, holder: Holder) -> SandboxParts:
    """Return what serves sandboxes by these parts."""
    from minoots_activities.jobs.agents.acting import Acting
    from minoots_activities.jobs.programs import Programs
    from minoots_activities.standing.holding import Holding
    from minoots_activities.standing.opening import Openings

    programs = Programs(database, tiers, settings.jobs, utc_now, holder)
    holding = Holding(database, holder, settings.jobs.max_artifact_bytes, utc_now)
    openings = Openings(database, tiers, holder, utc_now)
    acting = Acting(database, tiers, settings, utc_now)
    return SandboxParts(
        serving_sandbox(programs, acting, openings), serving_held(programs, holding), holder.queue
    )


@asynccontextmanager
async def sandbox_parts(settings: Settings, telemetry: Telemetry) -> AsyncIterator[SandboxParts]:
    """Yield what serves sandboxes, with what a dead worker left of its own removed; end them afterwards.

    Raises:
        Failure: unavailable, when the records are away or at another schema.
    """
    from minoots_activities.standing.holder import Holder

    async with _records(settings) as database:
        tiers = tiers_of(settings, telemetry)
        await tiers.remove_left_behind()
        held = Holder(database, utc_now, settings.sandbox.standing.per_worker).holding()
        async with aclosing(tiers), held as holder:
            with loading():
                parts = sandboxes_of(settings, database, tiers, holder)
            yield parts


@asynccontextmanager
async def _records(settings: Settings) -> AsyncIterator[Database]:
    async with Database(
        settings.records.url,
        pool_size=settings.records.pool_size,
        busy_timeout_ms=settings.records.busy_timeout_ms,
    ) as database:
        await revision.wait_until_current(database)
        yield database


@dataclass(frozen=True)
class IoParts:
    """What the queue ``io`` needs: its activities, and what runs beside them."""

    serving: Serving
    handover: HandOver
    forgetting: Forgetting
    watch: LeadWatch
    health: HealthWatch


@asynccontextmanager
async def io_parts(settings: Settings, telemetry: Telemetry, client: Client) -> AsyncIterator[IoParts]:
    """Yield the parts behind the queue ``io``; close them in the opposite order.

    Raises:
        Failure: unavailable, when the records are away or at another schema; invalid, for settings that
            cannot work.
    """
    with loading():
        from minoots_activities.checks.adapter import Checks
        from minoots_activities.connectors import HealthWatch, World, connectors
        from minoots_activities.deliveries.adapter import Deliveries
        from minoots_activities.deliveries.attempt import Attempts
        from minoots_activities.escalations.adapter import Escalations
        from minoots_activities.escalations.heartbeats import Heartbeats
        from minoots_activities.http import WebhookSender
        from minoots_activities.jobs.adapter import Jobs
        from minoots_activities.plans.adapter import Plans
        from minoots_activities.replays.adapter import Replays
        from minoots_activities.schedules.adapter import Schedules
        from minoots_activities.standing.adapter import StandingSandboxes
        from minoots_activities.timers.adapter import Timers
        from minoots_activities.timers.lead import LeadWatch
        from minoots_platform.forgetting import Forgetting
        from minoots_platform.handover import HandOver
        from minoots_platform.links import Links
        from minoots_workflows.handover import Engine

    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_records(settings))
        vault = Vault([key.get_secret_value() for key in settings.secrets.master_keys])
        links = Links(vault, settings.gateway.link_base)
        sender = await stack.enter_async_context(
            WebhookSender(
                allowed_networks=settings.delivery.allowed_networks, user_agent=settings.delivery.user_agent
            )
        )
        watch = LeadWatch(_worker_name(), database, telemetry.metrics, utc_now)
        world = World(settings, client, sender, database, vault, telemetry.tracer, utc_now)
        installed = await stack.enter_async_context(connectors(world, links))
        attempts = Attempts(installed, telemetry.metrics, utc_now)
        handover = HandOver(database, Engine(client))
        yield IoParts(
            serving=serving_io(
                Timers(database, attempts, watch, handover, telemetry.metrics, utc_now),
                Deliveries(database, attempts, handover, utc_now),
                Replays(database, utc_now),
                Schedules(database, handover, utc_now),
                Plans(database, handover, utc_now),
                Escalations(database, handover, utc_now),
                Heartbeats(database, handover, utc_now),
                Checks(installed, vault, utc_now),
                Jobs(database, utc_now),
                StandingSandboxes(database, utc_now),
            ),
            handover=handover,
            forgetting=Forgetting(database, keep_of(settings.jobs)),
            watch=watch,
            health=HealthWatch(installed, telemetry.metrics),
        )


def _worker_name() -> str:
    return f"{socket.gethostname()[:60]}-{os.getpid()}"
