"""Building the parts of a worker process from its settings, and taking them down in order."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from temporalio.client import Client

from minoots_activities.deliveries.adapter import Deliveries
from minoots_activities.deliveries.attempt import Attempts
from minoots_activities.http import WebhookSender
from minoots_activities.replays.adapter import Replays
from minoots_activities.timers.adapter import Timers
from minoots_activities.timers.lead import LeadWatch
from minoots_platform.clock import utc_now
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, revision
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry, temporal_runtime
from minoots_platform.temporal import connect
from minoots_platform.vault import Vault
from minoots_workflows.handover import Engine
from minoots_workflows.queues import Queue

from .registry import Serving, registry


@dataclass(frozen=True)
class Parts:
    """Everything a worker process holds."""

    client: Client
    serving: dict[Queue, Serving]
    handover: HandOver
    watch: LeadWatch


@asynccontextmanager
async def worker_parts(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Parts]:
    """Yield the parts of a worker process; close them in the opposite order.

    Raises:
        Failure: unavailable, when Temporal does not answer; invalid, for settings that cannot work.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(
                settings.records.url,
                pool_size=settings.records.pool_size,
                busy_timeout_ms=settings.records.busy_timeout_ms,
            )
        )
        await revision.wait_until_current(database)
        vault = Vault([key.get_secret_value() for key in settings.secrets.master_keys])
        sender = await stack.enter_async_context(
            WebhookSender(
                allowed_networks=settings.delivery.allowed_networks, user_agent=settings.delivery.user_agent
            )
        )
        runtime = await stack.enter_async_context(temporal_runtime(telemetry))
        client = await connect(settings.temporal, telemetry, runtime)
        watch = LeadWatch(_worker_name(), database, telemetry.metrics, utc_now)
        attempts = Attempts(database, vault, sender, telemetry, utc_now)
        yield Parts(
            client=client,
            serving=registry(
                Timers(database, attempts, watch, telemetry.metrics, utc_now),
                Deliveries(database, attempts, utc_now),
                Replays(database, utc_now),
            ),
            handover=HandOver(database, Engine(client)),
            watch=watch,
        )


def _worker_name() -> str:
    return f"{socket.gethostname()[:60]}-{os.getpid()}"
