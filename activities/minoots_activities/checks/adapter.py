"""`ChecksPort`: ask the connector of an action whether it could be sent now."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import TypeAdapter
from temporalio import activity

from minoots.contracts import AttemptError
from minoots.contracts.actions import Action
from minoots_activities.connectors import Connector
from minoots_platform.clock import Clock
from minoots_platform.vault import Vault
from minoots_workflows.checks.contracts import CheckAnswer, CheckStart
from minoots_workflows.checks.port import ChecksPort

_ACTION: TypeAdapter[Action] = TypeAdapter(Action)


class Checks(ChecksPort):
    """Checks, through connectors."""

    def __init__(self, connectors: Iterable[Connector], vault: Vault, clock: Clock) -> None:
        self._connectors = {connector.kind: connector for connector in connectors}
        self._vault = vault
        self._clock = clock

    @activity.defn(name="checks.look")
    async def look(self, request: CheckStart) -> CheckAnswer:
        """Have the connector of the action look at its receiver."""
        action = _ACTION.validate_json(self._vault.decrypt(request.sealed.encode()))
        connector = self._connectors.get(action.kind)
        if connector is None:
            detail = f"this worker has no connector {action.kind}; the gateway has"
            return CheckAnswer(checked_at=self._clock(), error=AttemptError.REFUSED, detail=detail)
        failure = await connector.check(request.tenant, action)
        return CheckAnswer(
            checked_at=self._clock(),
            error=None if failure is None else failure.error,
            detail=None if failure is None else failure.detail,
        )
