"""The sync client.

What hangs on it is imported when it is first used: a command uses one of twenty, and the models of all took a
quarter of its time. The async client imports all at once, for an event loop should not wait for files.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, Unpack, overload

import httpx

from .call import invalid
from .connection import Connection, Options
from .contracts.timers import Timer
from .engine import Engine
from .operations.timers import Length
from .outbox import Outbox, Queued
from .resources.timers import CreatedT, Timers
from .sleeping import WakeOn, Woken, asleep

if TYPE_CHECKING:
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
        self._store = None if outbox is None else Outbox(outbox)
        self.timers: Timers[CreatedT] = Timers(self._engine, self._store)

    @cached_property
    def schedules(self) -> Schedules:
        """Timers that recur."""
        from .resources.schedules import Schedules

        return Schedules(self._engine)

    @cached_property
    def plans(self) -> Plans:
        """Timers that follow from one another."""
        from .resources.plans import Plans

        return Plans(self._engine)

    @cached_property
    def escalations(self) -> Escalations:
        """Who is told until somebody acknowledges; with people, rotations and policies."""
        from .resources.escalations import Escalations

        return Escalations(self._engine)

    @cached_property
    def heartbeats(self) -> Heartbeats:
        """Calls to expect."""
        from .operations.escalations import HEARTBEATS
        from .resources.escalations import Heartbeats

        return Heartbeats(self._engine, HEARTBEATS)

    @cached_property
    def agents(self) -> Agents:
        """Who commands go to, and their inboxes."""
        from .resources.agents import Agents

        return Agents(self._engine)

    @cached_property
    def events(self) -> Events:
        """The feed."""
        from .resources.events import Events

        return Events(self._engine)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Deliveries that were given up."""
        from .resources.dead_letters import DeadLetters

        return DeadLetters(self._engine)

    @cached_property
    def sessions(self) -> Sessions:
        """What was captured of sessions with agents."""
        from .resources.sessions import Sessions

        return Sessions(self._engine)

    @cached_property
    def recordings(self) -> Recordings:
        """Files that sessions are written into."""
        from .resources.sessions import Recordings

        return Recordings(self._engine)

    @cached_property
    def fleet(self) -> Fleet:
        """Hosts that capture."""
        from .resources.sessions import Fleet

        return Fleet(self._engine)

    @cached_property
    def ingest(self) -> Ingests:
        """Take files and texts in."""
        from .resources.ingest import Ingests

        return Ingests(self._engine)

    @cached_property
    def sources(self) -> Sources:
        """Files and texts that were taken in."""
        from .resources.ingest import Sources

        return Sources(self._engine)

    @cached_property
    def jobs(self) -> Jobs:
        """Ask models, and run programs in sandboxes."""
        from .resources.jobs import Jobs

        return Jobs(self._engine)

    @cached_property
    def sandboxes(self) -> Sandboxes:
        """Sandboxes that stand, and their files."""
        from .resources.sandboxes import Sandboxes

        return Sandboxes(self._engine)

    @cached_property
    def models(self) -> Models:
        """Which language models there are."""
        from .resources.models import Models

        return Models(self._engine)

    @cached_property
    def usage(self) -> Usage:
        """What calls of them took."""
        from .resources.models import Usage

        return Usage(self._engine)

    @cached_property
    def secrets(self) -> Secrets:
        """What webhooks are signed with."""
        from .resources.secrets import Secrets

        return Secrets(self._engine)

    @cached_property
    def connectors(self) -> Connectors:
        """What actions are sent through."""
        from .resources.connectors import Connectors

        return Connectors(self._engine)

    @cached_property
    def destinations(self) -> Destinations:
        """Receivers that are closed."""
        from .resources.destinations import Destinations

        return Destinations(self._engine)

    @property
    def outbox(self) -> OutboxResource:
        """What waits on this machine for the gateway to come back.

        Raises:
            InvalidRequest: the client was made without an outbox.
        """
        if self._store is None:
            raise invalid("outbox", "a client made with outbox=Path(…)", "one without")
        from .resources.outbox import OutboxResource

        return OutboxResource(self._engine, self._store)

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
