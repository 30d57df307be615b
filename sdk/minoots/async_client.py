"""The async client."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Generic, Self, Unpack, overload

import httpx

from .async_engine import AsyncEngine
from .call import invalid
from .connection import Connection, Options
from .contracts.timers import Timer
from .operations.escalations import HEARTBEATS
from .operations.timers import Length
from .outbox import Outbox, Queued
from .resources.agents import AsyncAgents
from .resources.connectors import AsyncConnectors
from .resources.dead_letters import AsyncDeadLetters
from .resources.destinations import AsyncDestinations
from .resources.escalations import AsyncEscalations, AsyncHeartbeats
from .resources.events import AsyncEvents
from .resources.ingest import AsyncIngests, AsyncSources
from .resources.jobs import AsyncJobs
from .resources.models import AsyncModels, AsyncUsage
from .resources.outbox import AsyncOutboxResource
from .resources.plans import AsyncPlans
from .resources.sandboxes import AsyncSandboxes
from .resources.schedules import AsyncSchedules
from .resources.secrets import AsyncSecrets
from .resources.sessions import AsyncFleet, AsyncRecordings, AsyncSessions
from .resources.timers import AsyncTimers, CreatedT
from .sleeping import WakeOn, Woken, asleep


class AsyncMinoots(Generic[CreatedT]):
    """A client of one Minoots service, for one event loop.

    Args:
        base_url: default ``MINOOTS_URL``, or ``http://127.0.0.1:4000``.
        outbox: a file that keeps creates while the gateway is away (see `minoots.outbox`).
        http_client: an ``httpx.AsyncClient`` of your own; it stays open.
        transport: an ``httpx`` transport, for tests.
        options: ``api_key`` (default ``MINOOTS_API_KEY``), ``timeout``, ``retries``.

    Attributes:
        timers: set, read, change and await timers.
        schedules: timers that recur.
        plans: timers that follow from one another.
        escalations: who is told until somebody acknowledges; with people, rotations and policies.
        heartbeats: calls to expect.
        agents: who commands go to, and their inboxes.
        events: the feed.
        dead_letters: deliveries that were given up.
        sessions: what was captured of sessions with agents.
        recordings: files that sessions are written into.
        fleet: hosts that capture.
        ingest: take files and texts in.
        jobs: ask models, and run programs in sandboxes.
        sandboxes: sandboxes that stand, and their files.
        sources: files and texts that were taken in.
        models: which language models there are.
        usage: what calls of them took.
        secrets: what webhooks are signed with.
        connectors: what actions are sent through.
        destinations: receivers that are closed.
    """

    @overload
    def __init__(
        self: AsyncMinoots[Timer],
        base_url: str | None = None,
        *,
        outbox: None = None,
        http_client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    @overload
    def __init__(
        self: AsyncMinoots[Timer | Queued],
        base_url: str | None = None,
        *,
        outbox: Path,
        http_client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    def __init__(
        self,
        base_url: str | None = None,
        *,
        outbox: Path | None = None,
        http_client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._engine = AsyncEngine(Connection.of(base_url, **options), http_client, transport)
        store = None if outbox is None else Outbox(outbox)
        self.timers: AsyncTimers[CreatedT] = AsyncTimers(self._engine, store)
        self.schedules = AsyncSchedules(self._engine)
        self.plans = AsyncPlans(self._engine)
        self.escalations = AsyncEscalations(self._engine)
        self.heartbeats = AsyncHeartbeats(self._engine, HEARTBEATS)
        self.agents = AsyncAgents(self._engine)
        self.events = AsyncEvents(self._engine)
        self.dead_letters = AsyncDeadLetters(self._engine)
        self.sessions = AsyncSessions(self._engine)
        self.recordings = AsyncRecordings(self._engine)
        self.fleet = AsyncFleet(self._engine)
        self.ingest = AsyncIngests(self._engine)
        self.sources = AsyncSources(self._engine)
        self.jobs = AsyncJobs(self._engine)
        self.sandboxes = AsyncSandboxes(self._engine)
        self.models = AsyncModels(self._engine)
        self.usage = AsyncUsage(self._engine)
        self.secrets = AsyncSecrets(self._engine)
        self.connectors = AsyncConnectors(self._engine)
        self.destinations = AsyncDestinations(self._engine)
        self._outbox = None if store is None else AsyncOutboxResource(self._engine, store)

    @property
    def outbox(self) -> AsyncOutboxResource:
        """What waits on this machine for the gateway to come back.

        Raises:
            InvalidRequest: the client was made without an outbox.
        """
        if self._outbox is None:
            raise invalid("outbox", "a client made with outbox=Path(…)", "one without")
        return self._outbox

    async def sleep(
        self,
        length: Length,
        *,
        wake_on: WakeOn | None = None,
        name: str = "sleep",
        idempotency_key: str | None = None,
    ) -> Woken:
        """Sleep on the service: it goes on although this process dies; the same key finds it again.

        Ends early when somebody fires or cancels its timer, or an event comes that ``wake_on`` describes.
        """
        flow = asleep(self._engine.connection, length, wake_on, name, idempotency_key)
        return await self._engine.run(flow)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
