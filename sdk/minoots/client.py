"""The sync client."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Generic, Self, Unpack, overload

import httpx

from .call import invalid
from .connection import Connection, Options
from .contracts.timers import Timer
from .engine import Engine
from .operations.escalations import HEARTBEATS
from .operations.timers import Length
from .outbox import Outbox, Queued
from .resources.agents import Agents
from .resources.connectors import Connectors
from .resources.dead_letters import DeadLetters
from .resources.destinations import Destinations
from .resources.escalations import Escalations, Heartbeats
from .resources.events import Events
from .resources.ingest import Ingests, Sources
from .resources.jobs import Jobs
from .resources.models import Models, Usage
from .resources.outbox import OutboxResource
from .resources.plans import Plans
from .resources.sandboxes import Sandboxes
from .resources.schedules import Schedules
from .resources.secrets import Secrets
from .resources.sessions import Fleet, Recordings, Sessions
from .resources.timers import CreatedT, Timers
from .sleeping import WakeOn, Woken, asleep


class Minoots(Generic[CreatedT]):
    """A client of one Minoots service; threads may share it.

    Args:
        base_url: default ``MINOOTS_URL``, or ``http://127.0.0.1:4000``.
        outbox: a file that keeps creates while the gateway is away (see `minoots.outbox`).
        http_client: an ``httpx.Client`` of your own; it stays open.
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
        self: Minoots[Timer],
        base_url: str | None = None,
        *,
        outbox: None = None,
        http_client: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    @overload
    def __init__(
        self: Minoots[Timer | Queued],
        base_url: str | None = None,
        *,
        outbox: Path,
        http_client: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    def __init__(
        self,
        base_url: str | None = None,
        *,
        outbox: Path | None = None,
        http_client: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._engine = Engine(Connection.of(base_url, **options), http_client, transport)
        store = None if outbox is None else Outbox(outbox)
        self.timers: Timers[CreatedT] = Timers(self._engine, store)
        self.schedules = Schedules(self._engine)
        self.plans = Plans(self._engine)
        self.escalations = Escalations(self._engine)
        self.heartbeats = Heartbeats(self._engine, HEARTBEATS)
        self.agents = Agents(self._engine)
        self.events = Events(self._engine)
        self.dead_letters = DeadLetters(self._engine)
        self.sessions = Sessions(self._engine)
        self.recordings = Recordings(self._engine)
        self.fleet = Fleet(self._engine)
        self.ingest = Ingests(self._engine)
        self.sources = Sources(self._engine)
        self.jobs = Jobs(self._engine)
        self.sandboxes = Sandboxes(self._engine)
        self.models = Models(self._engine)
        self.usage = Usage(self._engine)
        self.secrets = Secrets(self._engine)
        self.connectors = Connectors(self._engine)
        self.destinations = Destinations(self._engine)
        self._outbox = None if store is None else OutboxResource(self._engine, store)

    @property
    def outbox(self) -> OutboxResource:
        """What waits on this machine for the gateway to come back.

        Raises:
            InvalidRequest: the client was made without an outbox.
        """
        if self._outbox is None:
            raise invalid("outbox", "a client made with outbox=Path(…)", "one without")
        return self._outbox

    def sleep(
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
        return self._engine.run(flow)

    def close(self) -> None:
        """Close the connections."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
