"""Running a command on a timer: what every route that changes one has in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import Timer
from minoots_api.commands import run_once
from minoots_api.gateway import Gateway, Here
from minoots_api.parameters import IdempotencyKey, IfMatch
from minoots_api.principals import TimersWriter
from minoots_platform.identity import Principal
from minoots_platform.records import commands


@dataclass(frozen=True)
class Runner:
    """Runs a command for whoever asks, once for each idempotency key, and hands it over."""

    request: Request
    gateway: Gateway
    principal: Principal
    if_generation: int | None
    key: str | None
    now: datetime

    async def __call__(self, timer_id: str, command: commands.Command) -> Response:
        """Answer with the timer as it stands after ``command``.

        Raises:
            Failure: not_found, stale or conflict.
        """

        async def work(connection: AsyncConnection) -> Timer:
            return await commands.change(
                connection,
                self.principal.tenant,
                timer_id,
                command,
                now=self.now,
                actor=self.principal.subject,
                if_generation=self.if_generation,
            )

        answered = await run_once(self.gateway, self.request, self.principal, self.key, work)
        if not answered.replayed:
            handover = self.gateway.handover
            await self.gateway.hand_over(handover.timer(self.principal.tenant, timer_id))
            owners = _owners(Timer.model_validate(answered.answer))
            if any(owners.values()):
                self.gateway.in_background(handover.after_timer(timer_id, **owners))
        return answered.response(ETag=f'"{answered.answer["generation"]}"')


def _owners(timer: Timer) -> dict[str, str | None]:
    return {
        "schedule_id": timer.occurrence.schedule_id if timer.occurrence else None,
        "parent_id": timer.plan.plan_id if timer.plan else None,
    }


def runner(
    request: Request, gateway: Here, principal: TimersWriter, generation: IfMatch, key: IdempotencyKey = None
) -> Runner:
    """Return what runs the command of this request."""
    return Runner(request, gateway, principal, generation, key, gateway.clock())


Run = Annotated[Runner, Depends(runner)]
"""Runs the command of this request."""
