"""``client.escalations`` and ``client.heartbeats``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.escalations import AcknowledgeTimes, Escalation
from minoots.contracts.events import Event
from minoots.contracts.heartbeats import Heartbeat
from minoots.contracts.rotations import Rotation, Shift
from minoots.engine import Engine
from minoots.operations import escalations
from minoots.operations.escalations import DocumentT, EscalationFilter, NewEscalation
from minoots.operations.timers import Length, Moment


class Documents(Generic[DocumentT]):
    """People, rotations, policies or heartbeats."""

    def __init__(self, engine: Engine, documents: escalations.Documents[DocumentT]) -> None:
        self._engine = engine
        self._documents = documents

    def save(self, id: str, **fields: Any) -> DocumentT:
        """Keep one, or replace the one of that id; the fields are those on the wire."""
        return self._engine.call(self._documents.save({"id": id, **fields}))

    def get(self, id: str) -> DocumentT:
        """Return one."""
        return self._engine.call(self._documents.read(id))

    def list(self) -> Iterator[DocumentT]:
        """Yield all, the newest first."""
        return self._engine.items(self._documents.listing())

    def remove(self, id: str) -> None:
        """Remove one; ladders pass over who is not there."""
        self._engine.call(self._documents.remove(id))


class Rotations(Documents[Rotation]):
    """Who is on call when."""

    def shifts(
        self, id: str, *, since: Moment | None = None, until: Moment | None = None
    ) -> tuple[Shift, ...]:
        """Return who is on call when, four weeks from now unless asked otherwise."""
        return (self._engine.call(escalations.shifts(id, since, until))).shifts


class Heartbeats(Documents[Heartbeat]):
    """Expect calls, and call in."""

    def beat(self, id: str) -> Heartbeat:
        """Call in: all is well."""
        return self._engine.call(escalations.beat(id))


class Escalations:
    """Begin, read and answer escalations.

    Attributes:
        people: who can be told.
        rotations: who is on call when.
        policies: ladders under a name.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.people = Documents(engine, escalations.PEOPLE)
        self.rotations = Rotations(engine, escalations.ROTATIONS)
        self.policies = Documents(engine, escalations.POLICIES)

    def create(self, **fields: Unpack[NewEscalation]) -> Escalation:
        """Begin an escalation: ``create(name="disk full", policy="ops", payload=…)``.

        Takes ``name``; ``policy`` or ``ladder``; and ``terms``, ``payload``, ``labels``, ``metadata``,
        ``idempotency_key`` (see `minoots.NewEscalation`).
        """
        return self._engine.call(escalations.create(fields))

    def get(self, escalation_id: str) -> Escalation:
        """Return an escalation: who was told, and who did what."""
        return self._engine.call(escalations.read(escalation_id))

    def list(self, **filter: Unpack[EscalationFilter]) -> Iterator[Escalation]:
        """Yield all escalations that match ``state`` and ``timer``, the newest first."""
        return self._engine.items(escalations.listing(filter))

    def acknowledge(self, public_id: str, *, by: str | None = None, result: Any = None) -> Escalation:
        """Take an escalation on, or a timer that requires it; `Denied` for somebody who may not."""
        return self._engine.call(escalations.acknowledge(public_id, by, result))

    def decline(self, escalation_id: str, *, by: str | None = None, reason: str | None = None) -> Escalation:
        """Not me: when all that were told have declined, the next are told at once."""
        return self._engine.call(escalations.decline(escalation_id, by, reason))

    def hand_on(
        self, escalation_id: str, to: str, *, by: str | None = None, reason: str | None = None
    ) -> Escalation:
        """Have somebody else told at once, who may acknowledge from now on."""
        return self._engine.call(escalations.hand_on(escalation_id, to, by, reason))

    def snooze(self, escalation_id: str, after: Length, *, by: str | None = None) -> Escalation:
        """Tell nobody for a while; then the ladder begins anew."""
        return self._engine.call(escalations.snooze(escalation_id, after, by))

    def resolve(self, escalation_id: str, *, by: str | None = None, reason: str | None = None) -> Escalation:
        """End it: it is dealt with."""
        return self._engine.call(escalations.resolve(escalation_id, by, reason))

    def cancel(self, escalation_id: str, *, reason: str | None = None) -> Escalation:
        """End it for another reason; a timer that awaited it has failed then."""
        return self._engine.call(escalations.cancel(escalation_id, reason))

    def events(self, escalation_id: str) -> Iterator[Event]:
        """Yield the events of an escalation, oldest first."""
        return self._engine.items(escalations.events(escalation_id))

    def times(self, *, since: Moment | None = None) -> tuple[AcknowledgeTimes, ...]:
        """Return how quickly each acknowledges: median and 95th percentile, of the last 30 days."""
        return (self._engine.call(escalations.times(since))).items


class AsyncDocuments(Generic[DocumentT]):
    """People, rotations, policies or heartbeats."""

    def __init__(self, engine: AsyncEngine, documents: escalations.Documents[DocumentT]) -> None:
        self._engine = engine
        self._documents = documents

    async def save(self, id: str, **fields: Any) -> DocumentT:
        """Keep one, or replace the one of that id; the fields are those on the wire."""
        return await self._engine.call(self._documents.save({"id": id, **fields}))

    async def get(self, id: str) -> DocumentT:
        """Return one."""
        return await self._engine.call(self._documents.read(id))

    def list(self) -> AsyncIterator[DocumentT]:
        """Yield all, the newest first."""
        return self._engine.items(self._documents.listing())

    async def remove(self, id: str) -> None:
        """Remove one; ladders pass over who is not there."""
        await self._engine.call(self._documents.remove(id))


class AsyncRotations(AsyncDocuments[Rotation]):
    """Who is on call when."""

    async def shifts(
        self, id: str, *, since: Moment | None = None, until: Moment | None = None
    ) -> tuple[Shift, ...]:
        """Return who is on call when, four weeks from now unless asked otherwise."""
        return (await self._engine.call(escalations.shifts(id, since, until))).shifts


class AsyncHeartbeats(AsyncDocuments[Heartbeat]):
    """Expect calls, and call in."""

    async def beat(self, id: str) -> Heartbeat:
        """Call in: all is well."""
        return await self._engine.call(escalations.beat(id))


class AsyncEscalations:
    """Begin, read and answer escalations.

    Attributes:
        people: who can be told.
        rotations: who is on call when.
        policies: ladders under a name.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.people = AsyncDocuments(engine, escalations.PEOPLE)
        self.rotations = AsyncRotations(engine, escalations.ROTATIONS)
        self.policies = AsyncDocuments(engine, escalations.POLICIES)

    async def create(self, **fields: Unpack[NewEscalation]) -> Escalation:
        """Begin an escalation: ``create(name="disk full", policy="ops", payload=…)``.

        Takes ``name``; ``policy`` or ``ladder``; and ``terms``, ``payload``, ``labels``, ``metadata``,
        ``idempotency_key`` (see `minoots.NewEscalation`).
        """
        return await self._engine.call(escalations.create(fields))

    async def get(self, escalation_id: str) -> Escalation:
        """Return an escalation: who was told, and who did what."""
        return await self._engine.call(escalations.read(escalation_id))

    def list(self, **filter: Unpack[EscalationFilter]) -> AsyncIterator[Escalation]:
        """Yield all escalations that match ``state`` and ``timer``, the newest first."""
        return self._engine.items(escalations.listing(filter))

    async def acknowledge(self, public_id: str, *, by: str | None = None, result: Any = None) -> Escalation:
        """Take an escalation on, or a timer that requires it; `Denied` for somebody who may not."""
        return await self._engine.call(escalations.acknowledge(public_id, by, result))

    async def decline(
        self, escalation_id: str, *, by: str | None = None, reason: str | None = None
    ) -> Escalation:
        """Not me: when all that were told have declined, the next are told at once."""
        return await self._engine.call(escalations.decline(escalation_id, by, reason))

    async def hand_on(
        self, escalation_id: str, to: str, *, by: str | None = None, reason: str | None = None
    ) -> Escalation:
        """Have somebody else told at once, who may acknowledge from now on."""
        return await self._engine.call(escalations.hand_on(escalation_id, to, by, reason))

    async def snooze(self, escalation_id: str, after: Length, *, by: str | None = None) -> Escalation:
        """Tell nobody for a while; then the ladder begins anew."""
        return await self._engine.call(escalations.snooze(escalation_id, after, by))

    async def resolve(
        self, escalation_id: str, *, by: str | None = None, reason: str | None = None
    ) -> Escalation:
        """End it: it is dealt with."""
        return await self._engine.call(escalations.resolve(escalation_id, by, reason))

    async def cancel(self, escalation_id: str, *, reason: str | None = None) -> Escalation:
        """End it for another reason; a timer that awaited it has failed then."""
        return await self._engine.call(escalations.cancel(escalation_id, reason))

    def events(self, escalation_id: str) -> AsyncIterator[Event]:
        """Yield the events of an escalation, oldest first."""
        return self._engine.items(escalations.events(escalation_id))

    async def times(self, *, since: Moment | None = None) -> tuple[AcknowledgeTimes, ...]:
        """Return how quickly each acknowledges: median and 95th percentile, of the last 30 days."""
        return (await self._engine.call(escalations.times(since))).items
