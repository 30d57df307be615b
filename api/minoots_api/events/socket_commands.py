"""Commands that come over a WebSocket: the same as the routes', without their idempotency keys.

Acknowledging is idempotent by itself; a snooze that is sent twice counts from the later one.
"""

from __future__ import annotations

from typing import Any

from minoots.contracts.feeds import AcknowledgeMessage, ClientMessage, SnoozeMessage
from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway
from minoots_platform.identity import Principal, Scope
from minoots_platform.records import commands, escalations, timers
from minoots_platform.records.commands import SnoozeBy
from minoots_platform.records.escalations import Doing
from minoots_platform.telemetry import audit


async def carry_out(gateway: Gateway, principal: Principal, message: ClientMessage) -> dict[str, Any]:
    """Carry a command out and return what it changed.

    Raises:
        Failure: whatever the command's route would answer.
    """
    if isinstance(message, SnoozeMessage):
        principal.require(Scope.TIMERS_WRITE)
        return await _snooze(gateway, principal, message)
    if isinstance(message, AcknowledgeMessage):
        principal.require(Scope.ESCALATIONS_WRITE)
        return await _acknowledge(gateway, principal, message)
    raise Failure(FailureKind.BUG, f"nobody takes messages of type {message.type}")


async def _snooze(gateway: Gateway, principal: Principal, message: SnoozeMessage) -> dict[str, Any]:
    async with gateway.database.write() as connection:
        timer = await commands.change(
            connection,
            principal.tenant,
            message.timer,
            SnoozeBy(message.after),
            now=gateway.clock(),
            actor=principal.subject,
            if_generation=None,
        )
    await gateway.hand_over(gateway.handover.timer(principal.tenant, timer.id))
    return timer.model_dump(mode="json")


async def _acknowledge(gateway: Gateway, principal: Principal, message: AcknowledgeMessage) -> dict[str, Any]:
    now = gateway.clock()
    doing = Doing.of(principal, message.by, via="socket", now=now)
    try:
        async with gateway.database.write() as connection:
            escalation_id = message.target
            if escalation_id.startswith("tmr_"):
                timer = await timers.get(connection, principal.tenant, escalation_id)
                escalation_id = timer.escalation_id or ""
            found = await escalations.acknowledge(
                connection, principal.tenant, escalation_id, doing, message.result
            )
    except Failure as failure:
        if failure.kind is FailureKind.DENIED:
            audit(
                "escalation.refused",
                actor=principal.acts_as or principal.subject,
                tenant=principal.tenant,
                decision="deny",
                reason=failure.detail,
                escalation_id=message.target,
            )
        raise
    gateway.telemetry.metrics.acknowledged([one.model_dump() for one in found.notices], now)
    await gateway.hand_over(gateway.handover.escalation(found.id))
    return found.model_dump(mode="json")
