"""Actions of connectors that are installed, sent through the senders that they name."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from minoots.contracts import AttemptError, ConnectorAction
from minoots_activities.http import shown
from minoots_activities.result import Result
from minoots_platform.clock import Clock
from minoots_platform.connectors import ConnectorFault, ConnectorSpec, check_action, installed
from minoots_platform.envelope import event_of
from minoots_platform.links import Links
from minoots_platform.records import Database
from minoots_platform.telemetry import get_logger
from minoots_platform.telemetry.trace_context import current_traceparent

from .connector import Connector, Sending
from .relay import Relay
from .sender import Message, NotSent, Sender, World

TIMEOUT: Final = 25.0
"""Seconds for one attempt: within those that the firing activity has."""


class Plugged(Connector[ConnectorAction]):
    """One connector that is installed."""

    def __init__(
        self, spec: ConnectorSpec, world: World, links: Links, database: Database, clock: Clock
    ) -> None:
        self.kind = spec.kind  # type: ignore[misc]  # as many classes would be needed as there are connectors
        self._spec = spec
        self._world = world
        self._links = links
        self._database = database
        self._clock = clock
        self._sender: Sender[Any] | None = None
        self._log = get_logger("minoots.connectors")

    async def prepare(self, tenant: str, actions: Sequence[ConnectorAction]) -> Sender[Any]:
        """Load the sender."""
        if self._sender is None:
            module, _, name = self._spec.sender.partition(":")
            self._sender = getattr(importlib.import_module(module), name)(self._world)
        return self._sender

    async def send(self, sending: Sending[ConnectorAction]) -> Result:
        """Send once."""
        started_at = self._clock()
        try:
            # Once more: settings may have changed since it was accepted.
            check_action(sending.action, self._world.settings)
            config = self._spec.config.model_validate(sending.action.config)
            async with asyncio.timeout(TIMEOUT):
                answer = await sending.prepared.send(self._message(sending), config)
        except ConnectorFault as fault:
            return Result.unsent(self._clock(), AttemptError.REFUSED, str(fault))
        except NotSent as failure:
            return Result(
                started_at=started_at,
                finished_at=self._clock(),
                status=failure.status,
                error=failure.error,
                detail=shown(failure.detail),
                response=None,
                retry_after=failure.retry_after,
            )
        except TimeoutError:
            detail = f"it was not taken within {TIMEOUT:g} s"
            return Result(started_at, self._clock(), None, AttemptError.TIMEOUT, detail, None, None)
        except Exception as error:
            # A defect of one connector must not undo what the other actions of the timer have done.
            self._log.error("connector.failed", kind=self.kind, exc_info=error)
            detail = f"the connector failed: {type(error).__name__}"
            return Result(started_at, self._clock(), None, AttemptError.PROTOCOL, detail, None, None)
        return Result(
            started_at, self._clock(), None, None, None, None if answer is None else shown(answer), None
        )

    @property
    def watched(self) -> bool:
        """Whether there is a server behind it whose health can be asked for."""
        return self._spec.watched and self._spec.missing(self._world.settings) is None

    async def health(self) -> None:
        """Make sure that messages could be sent now.

        Raises:
            NotSent: they could not.
        """
        await (await self.prepare("", ())).health()

    async def close(self) -> None:
        """Let go of what the sender holds."""
        if self._sender is not None:
            await self._sender.close()

    def _message(self, sending: Sending[ConnectorAction]) -> Message:
        spec = sending.spec
        event = event_of(spec, sending.claim.webhook_id, sending.fired_at, self._links)
        return Message(
            id=sending.claim.webhook_id,
            tenant=spec.tenant,
            title=spec.name,
            payload=spec.payload,
            event=event,
            link=event["data"].get("acknowledge_url"),
            traceparent=current_traceparent(),
            progress=Relay(self._database, sending, self._clock),
        )


@asynccontextmanager
async def plugged(
    world: World, links: Links, database: Database, clock: Clock
) -> AsyncIterator[list[Plugged]]:
    """Yield every connector that is installed; close their senders afterwards."""
    connectors = [Plugged(spec, world, links, database, clock) for spec in installed().values()]
    try:
        yield connectors
    finally:
        for connector in connectors:
            await connector.close()
