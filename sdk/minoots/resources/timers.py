"""``client.timers``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any, Generic, Unpack, cast

from typing_extensions import TypeVar

from minoots.async_engine import AsyncEngine
from minoots.contracts.deliveries import Attempt
from minoots.contracts.events import Event
from minoots.contracts.retries import RetryPolicy
from minoots.contracts.templates import RenderedBody
from minoots.contracts.timers import Preview, Timer, Why
from minoots.engine import Engine
from minoots.operations import timers
from minoots.operations.timers import Length, Moment, NewTimer, TimerChange, TimerFilter
from minoots.outbox import Outbox, Queued, sending
from minoots.waiting import until_final

CreatedT = TypeVar("CreatedT", bound=Timer | Queued, default=Timer)
"""What ``create`` returns: `Timer`, or ``Timer | Queued`` of a client with an outbox."""


class Timers(Generic[CreatedT]):
    """Set, read, change and await timers."""

    def __init__(self, engine: Engine, outbox: Outbox | None) -> None:
        self._engine = engine
        self._outbox = outbox

    def create(self, **fields: Unpack[NewTimer]) -> CreatedT:
        """Set a timer: ``create(name="tea", after="4m", webhook="https://…")``.

        Takes ``name``; ``after`` or ``fire_at``; ``webhook`` or ``actions``; and ``payload``, ``retry``,
        ``misfire``, ``labels``, ``metadata``, ``idempotency_key``, ``traceparent`` (see `minoots.NewTimer`).
        A client with an outbox returns `Queued` while the gateway is away: the timer does not exist yet.
        """
        if self._outbox is None:
            return cast(CreatedT, self._engine.call(timers.create(fields)))
        return cast(CreatedT, self._engine.run(sending.create(self._engine.connection, self._outbox, fields)))

    def get(self, timer_id: str) -> Timer:
        """Return a timer as it stands."""
        return self._engine.call(timers.read(timer_id))

    def list(self, **filter: Unpack[TimerFilter]) -> Iterator[Timer]:
        """Yield all timers that match every given field, page by page (see `minoots.TimerFilter`)."""
        return self._engine.items(timers.listing(filter))

    def update(self, timer_id: str, *, generation: int | None = None, **change: Unpack[TimerChange]) -> Timer:
        """Change ``fire_at`` or ``after``, ``payload``, ``labels``; `Stale` if it is past ``generation``."""
        return self._engine.call(timers.update(timer_id, change, generation))

    def snooze(self, timer_id: str, after: Length) -> Timer:
        """Put a timer off: it fires ``after`` from now."""
        return self._engine.call(timers.snooze(timer_id, after))

    def cancel(self, timer_id: str, *, reason: str | None = None) -> Timer:
        """Call a timer off; `Conflict` if it has been sent already."""
        return self._engine.call(timers.cancel(timer_id, reason))

    def pause(self, timer_id: str) -> Timer:
        """Keep a timer from firing until it is resumed."""
        return self._engine.call(timers.act(timer_id, "pause"))

    def resume(self, timer_id: str) -> Timer:
        """Let a paused timer go on."""
        return self._engine.call(timers.act(timer_id, "resume"))

    def fire(self, timer_id: str) -> Timer:
        """Fire a timer now."""
        return self._engine.call(timers.act(timer_id, "fire"))

    def why(self, timer_id: str) -> Why:
        """Return a plain account of what happened or will happen, and when."""
        return self._engine.call(timers.why(timer_id))

    def events(self, timer_id: str) -> Iterator[Event]:
        """Yield the events of a timer, oldest first."""
        return self._engine.items(timers.events(timer_id))

    def attempts(self, timer_id: str) -> Iterator[Attempt]:
        """Yield the attempts to deliver a timer's actions."""
        return self._engine.items(timers.attempts(timer_id))

    def preview_body(
        self,
        template: str,
        *,
        content_type: str | None = None,
        name: str | None = None,
        payload: Any = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        recurs: bool = False,
        plan: bool = False,
        acknowledge: bool = False,
    ) -> RenderedBody:
        """Fill in a template for the body of a webhook, as a timer would that fired now; nothing is sent.

        ``recurs``, ``plan`` and ``acknowledge`` say as what it fires, and so which names there are.

        Raises:
            InvalidRequest: for a template that cannot be filled in, saying why.
        """
        as_if = {"name": name, "payload": payload, "labels": labels, "metadata": metadata}
        as_if |= {"recurs": recurs or None, "plan": plan or None, "acknowledge": acknowledge or None}
        return self._engine.call(timers.preview_body(template, content_type, as_if))

    def preview(
        self,
        *,
        fire_at: Moment | None = None,
        after: Length | None = None,
        retry: RetryPolicy | Mapping[str, Any] | None = None,
    ) -> Preview:
        """Return the attempts that a retry policy would make; nothing is saved."""
        return self._engine.call(timers.preview(fire_at, after, retry))

    def wait(self, timer_id: str, *, timeout: float | None = None) -> Timer:
        """Return the timer once it is settled, failed or cancelled; `WaitTimeout` after ``timeout`` s."""
        read = partial(timers.read, timer_id)
        return self._engine.run(until_final(self._engine.connection, timer_id, read, timeout))


class AsyncTimers(Generic[CreatedT]):
    """Set, read, change and await timers."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox | None) -> None:
        self._engine = engine
        self._outbox = outbox

    async def create(self, **fields: Unpack[NewTimer]) -> CreatedT:
        """Set a timer: ``create(name="tea", after="4m", webhook="https://…")``; see `Timers.create`."""
        if self._outbox is None:
            return cast(CreatedT, await self._engine.call(timers.create(fields)))
        return cast(
            CreatedT, await self._engine.run(sending.create(self._engine.connection, self._outbox, fields))
        )

    async def get(self, timer_id: str) -> Timer:
        """Return a timer as it stands."""
        return await self._engine.call(timers.read(timer_id))

    def list(self, **filter: Unpack[TimerFilter]) -> AsyncIterator[Timer]:
        """Yield all timers that match every given field, page by page (see `minoots.TimerFilter`)."""
        return self._engine.items(timers.listing(filter))

    async def update(
        self, timer_id: str, *, generation: int | None = None, **change: Unpack[TimerChange]
    ) -> Timer:
        """Change ``fire_at`` or ``after``, ``payload``, ``labels``; `Stale` if it is past ``generation``."""
        return await self._engine.call(timers.update(timer_id, change, generation))

    async def snooze(self, timer_id: str, after: Length) -> Timer:
        """Put a timer off: it fires ``after`` from now."""
        return await self._engine.call(timers.snooze(timer_id, after))

    async def cancel(self, timer_id: str, *, reason: str | None = None) -> Timer:
        """Call a timer off; `Conflict` if it has been sent already."""
        return await self._engine.call(timers.cancel(timer_id, reason))

    async def pause(self, timer_id: str) -> Timer:
        """Keep a timer from firing until it is resumed."""
        return await self._engine.call(timers.act(timer_id, "pause"))

    async def resume(self, timer_id: str) -> Timer:
        """Let a paused timer go on."""
        return await self._engine.call(timers.act(timer_id, "resume"))

    async def fire(self, timer_id: str) -> Timer:
        """Fire a timer now."""
        return await self._engine.call(timers.act(timer_id, "fire"))

    async def why(self, timer_id: str) -> Why:
        """Return a plain account of what happened or will happen, and when."""
        return await self._engine.call(timers.why(timer_id))

    def events(self, timer_id: str) -> AsyncIterator[Event]:
        """Yield the events of a timer, oldest first."""
        return self._engine.items(timers.events(timer_id))

    def attempts(self, timer_id: str) -> AsyncIterator[Attempt]:
        """Yield the attempts to deliver a timer's actions."""
        return self._engine.items(timers.attempts(timer_id))

    async def preview_body(
        self,
        template: str,
        *,
        content_type: str | None = None,
        name: str | None = None,
        payload: Any = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        recurs: bool = False,
        plan: bool = False,
        acknowledge: bool = False,
    ) -> RenderedBody:
        """Fill in a template for the body of a webhook, as a timer would that fired now; nothing is sent.

        ``recurs``, ``plan`` and ``acknowledge`` say as what it fires, and so which names there are.

        Raises:
            InvalidRequest: for a template that cannot be filled in, saying why.
        """
        as_if = {"name": name, "payload": payload, "labels": labels, "metadata": metadata}
        as_if |= {"recurs": recurs or None, "plan": plan or None, "acknowledge": acknowledge or None}
        return await self._engine.call(timers.preview_body(template, content_type, as_if))

    async def preview(
        self,
        *,
        fire_at: Moment | None = None,
        after: Length | None = None,
        retry: RetryPolicy | Mapping[str, Any] | None = None,
    ) -> Preview:
        """Return the attempts that a retry policy would make; nothing is saved."""
        return await self._engine.call(timers.preview(fire_at, after, retry))

    async def wait(self, timer_id: str, *, timeout: float | None = None) -> Timer:  # noqa: ASYNC109
        """Return the timer once it is settled, failed or cancelled; `WaitTimeout` after ``timeout`` s."""
        # A parameter, not asyncio.timeout: the same signature as the sync twin, and an error of our own tree.
        read = partial(timers.read, timer_id)
        return await self._engine.run(until_final(self._engine.connection, timer_id, read, timeout))
