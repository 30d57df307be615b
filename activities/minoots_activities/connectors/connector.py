"""A connector at work: the sender that a spec names, made when it is first needed and kept from harm."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from minoots.contracts import AttemptError
from minoots.contracts.actions import Action
from minoots_activities.http import shown
from minoots_activities.result import Result
from minoots_platform.connectors import ConnectorFault, ConnectorSpec, check_action, hidden, installed
from minoots_platform.envelope import event_of
from minoots_platform.links import Links
from minoots_platform.records.attempts import Claim
from minoots_platform.records.firing import Spec
from minoots_platform.telemetry import get_logger
from minoots_platform.telemetry.trace_context import current_traceparent

from .relay import Relay
from .sender import Message, NotSent, Sender, World


@dataclass(frozen=True)
class Sending:
    """One action of one timer, about to be sent."""

    spec: Spec
    action: Action
    claim: Claim
    fired_at: datetime
    prepared: Any
    """What `Connector.prepare` returned."""


class Connector:
    """Sends actions of one kind."""

    def __init__(self, spec: ConnectorSpec, world: World, links: Links) -> None:
        self.kind = spec.kind
        """The ``kind`` of its actions."""
        self._spec = spec
        self._world = world
        self._links = links
        self._made: Sender[Any] | None = None
        self._log = get_logger("minoots.connectors")

    async def prepare(self, tenant: str, actions: Sequence[Action]) -> Any:
        """Fetch ahead of time whatever sending ``actions`` will need."""
        configs = []
        for action in actions:
            try:
                configs.append(check_action(action, self._world.settings))
            except ConnectorFault:
                continue  # and `send` says so
        try:
            return await self._sender.prepare(tenant, configs)
        except (SQLAlchemyError, OSError):
            # The records are away: nothing can be sent, and the activity is tried again.
            raise
        except Exception as error:
            self._defect(error)
            return None

    async def warm(self, action: Action) -> None:
        """Open ahead of time what sending ``action`` will need; what goes wrong goes wrong again later."""
        try:
            config = check_action(action, self._world.settings)
        except ConnectorFault:
            return
        try:
            await self._sender.warm(config)
        except Exception as error:
            self._defect(error)

    async def send(self, sending: Sending) -> Result:
        """Send once. Raises nothing for what the receiver does."""
        now = self._world.clock
        started_at = now()
        answer = await self._attempt(sending)
        if isinstance(answer, Result):
            return answer
        if isinstance(answer, NotSent):
            return Result(
                started_at=started_at,
                finished_at=now(),
                status=answer.status,
                error=answer.error,
                detail=answer.detail,
                response=None,
                retry_after=answer.retry_after,
            )
        return Result(started_at, now(), None, None, None, None if answer is None else shown(answer), None)

    async def check(self, tenant: str, action: Action) -> NotSent | None:
        """Return why an action could not be sent now, or ``None`` if it could."""

        async def ask() -> None:
            await self._sender.check(tenant, check_action(action, self._world.settings))

        return await self._failure(ask(), action)

    @property
    def watched(self) -> bool:
        """Whether there is a server behind it whose health can be asked for."""
        return self._spec.watched and self._spec.missing(self._world.settings) is None

    async def health(self) -> NotSent | None:
        """Return why the server behind it cannot be used, or ``None`` if it can."""
        return await self._failure(self._sender.health())

    async def close(self) -> None:
        """Let go of what the sender holds."""
        if self._made is not None:
            await self._made.close()

    @property
    def _sender(self) -> Sender[Any]:
        if self._made is None:
            module, _, name = self._spec.sender.partition(":")
            self._made = getattr(importlib.import_module(module), name)(self._world)
        return self._made

    async def _attempt(self, sending: Sending) -> Result | NotSent | str | None:
        answer: Result | str | None = None

        async def send() -> None:
            nonlocal answer
            # Once more: settings may have changed since it was accepted.
            config = check_action(sending.action, self._world.settings)
            answer = await self._sender.send(self._message(sending), config)

        return await self._failure(send(), sending.action) or answer

    async def _failure(self, work: Awaitable[None], action: Action | None = None) -> NotSent | None:
        """Do it; return what went wrong, in words that can be kept and shown."""
        failure = await self._fault(work)
        if failure is not None:
            failure.detail = shown(hidden(failure.detail, action))
        return failure

    async def _fault(self, work: Awaitable[None]) -> NotSent | None:
        try:
            async with asyncio.timeout(self._sender.timeout):
                await work
        except ConnectorFault as fault:
            return NotSent(fault.error, str(fault))
        except NotSent as failure:
            return failure
        except TimeoutError:
            return NotSent(AttemptError.TIMEOUT, f"it was not done within {self._sender.timeout:g} s")
        except SQLAlchemyError:
            raise
        except Exception as error:
            # A defect of one connector must not undo what the other actions of the timer have done.
            self._defect(error)
            return NotSent(AttemptError.PROTOCOL, f"the connector failed: {type(error).__name__}")
        return None

    def _defect(self, error: Exception) -> None:
        self._log.error("connector.failed", kind=self.kind, exc_info=error)

    def _message(self, sending: Sending) -> Message:
        spec, claim = sending.spec, sending.claim
        event = event_of(spec, claim.webhook_id, sending.fired_at, self._links)
        return Message(
            id=claim.webhook_id,
            tenant=spec.tenant,
            timer_id=spec.timer_id,
            title=spec.name,
            payload=spec.payload,
            event=event,
            fired_at=sending.fired_at,
            attempt=claim.number,
            link=event["data"].get("acknowledge_url"),
            traceparent=current_traceparent(),
            prepared=sending.prepared,
            progress=Relay(self._world.database, spec, claim, self._world.clock),
        )


@asynccontextmanager
async def connectors(world: World, links: Links) -> AsyncIterator[list[Connector]]:
    """Yield every connector that is installed; close their senders afterwards."""
    made = [Connector(spec, world, links) for spec in installed().values()]
    try:
        yield made
    finally:
        for connector in made:
            await connector.close()
