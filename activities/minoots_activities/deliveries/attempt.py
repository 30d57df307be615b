"""One attempt to deliver one action: prepare it, send it, judge what came of it.

Shared by the first attempt (``timers.fire``) and by those after it (``deliveries.attempt``). Knows nothing of
Temporal; the rows are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

from minoots.contracts import Action
from minoots_activities.connectors import Connector, Sending
from minoots_activities.result import Result
from minoots_platform.clock import Clock
from minoots_platform.records.attempts import Claim, Outcome
from minoots_platform.records.firing import Spec
from minoots_platform.telemetry.metrics import Metrics
from minoots_workflows.deliveries.retry import next_attempt

Prepared: TypeAlias = dict[str, Any]
"""What each connector has fetched ahead of time, by kind of action."""


class Attempts:
    """Makes attempts, each through the connector of its kind."""

    def __init__(self, connectors: Iterable[Connector], metrics: Metrics, clock: Clock) -> None:
        self._connectors = {connector.kind: connector for connector in connectors}
        self._metrics = metrics
        self._clock = clock

    async def prepare(self, spec: Spec, actions: tuple[Action, ...]) -> Prepared:
        """Fetch ahead of time whatever sending ``actions`` will need."""
        return {
            kind: await self._connectors[kind].prepare(
                spec.tenant, [action for action in actions if action.kind == kind]
            )
            for kind in {action.kind for action in actions}
        }

    async def warm(self, action: Action) -> None:
        """Open ahead of time what sending ``action`` will need."""
        await self._connectors[action.kind].warm(action)

    async def make(self, spec: Spec, claim: Claim, prepared: Prepared, fired_at: datetime) -> Outcome:
        """Send once and say what follows from it."""
        action = spec.actions[claim.action]
        result = await self._send(Sending(spec, action, claim, fired_at, prepared[action.kind]))
        outcome = "succeeded" if result.error is None else "failed"
        latency = (result.finished_at - result.started_at).total_seconds()
        self._metrics.delivery_attempted(latency, outcome=outcome, error=result.error)
        next_at = None
        if result.error is not None:
            next_at = next_attempt(
                spec.retry,
                number=claim.number,
                planned_at=claim.planned_at,
                finished_at=result.finished_at,
                error=result.error,
                status=result.status,
                retry_after=result.retry_after,
            )
        return Outcome(
            claim=claim,
            started_at=result.started_at,
            finished_at=result.finished_at,
            status=result.status,
            error=result.error,
            detail=result.detail,
            response=result.response,
            next_at=next_at,
        )

    async def _send(self, sending: Sending) -> Result:
        refusal = sending.claim.refusal
        if refusal is not None:
            return Result.unsent(self._clock(), refusal.error, refusal.detail)
        return await self._connectors[sending.action.kind].send(sending)
