"""Doing something about an escalation: as whom, once for each idempotency key, and handed over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import Escalation
from minoots.errors import Failure, FailureKind
from minoots_api.commands import run_once
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import IdempotencyKey
from minoots_api.principals import EscalationsWriter
from minoots_platform.identity import Principal
from minoots_platform.records.escalations import Doing
from minoots_platform.telemetry import audit


@dataclass(frozen=True)
class Actor:
    """Somebody who does something about an escalation."""

    request: Request
    gateway: Gateway
    principal: Principal
    key: str | None
    now: datetime

    def doing(self, by: str | None, reason: str | None = None) -> Doing:
        """Return as whom they do it.

        Raises:
            Failure: denied, when their key is bound to somebody else.
        """
        return Doing.of(self.principal, by, via="api", now=self.now, reason=reason)

    async def __call__(
        self,
        escalation_id: str,
        command: Callable[..., Awaitable[Escalation]],
        by: str | None,
        reason: str | None,
        *arguments: Any,
    ) -> Response:
        """Answer with the escalation as it stands after ``command``; who may not is audited."""

        async def work(connection: AsyncConnection) -> Escalation:
            tenant = self.principal.tenant
            return await command(connection, tenant, escalation_id, self.doing(by, reason), *arguments)

        try:
            answered = await run_once(self.gateway, self.request, self.principal, self.key, work)
        except Failure as failure:
            if failure.kind is FailureKind.DENIED:
                audit_refusal(self.principal, escalation_id, failure)
            raise
        if not answered.replayed:
            self.gateway.telemetry.metrics.acknowledged(answered.answer["notices"], self.now)
            await self.gateway.hand_over(self.gateway.handover.escalation(escalation_id))
        return answered.response(ETag=f'"{answered.answer["generation"]}"')


def audit_refusal(principal: Principal, escalation_id: str, failure: Failure) -> None:
    """Remember who tried what they may not."""
    audit(
        "escalation.refused",
        actor=principal.acts_as or principal.subject,
        tenant=principal.tenant,
        decision="deny",
        reason=failure.detail,
        escalation_id=escalation_id,
    )


def actor(request: Request, gateway: Here, principal: EscalationsWriter, key: IdempotencyKey = None) -> Actor:
    """Return who does what this request asks for."""
    return Actor(request, gateway, principal, key, gateway.clock())


Acting = Annotated[Actor, Depends(actor)]
