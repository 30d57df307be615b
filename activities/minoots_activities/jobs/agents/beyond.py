"""Tools of agents that reach beyond their job: timers, and what was captured and taken in.

Owns whether whoever submitted the job may still do so, which is asked anew for each call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import AgentTool
from minoots.errors import Failure
from minoots_platform.clock import Clock
from minoots_platform.connectors import ConnectorFault, check_action
from minoots_platform.records import Database, authority, timers
from minoots_platform.records.agent_runs import Step
from minoots_platform.settings import Settings
from minoots_platform.telemetry import audit

from .arguments import Context, SetTimer
from .files import Files
from .looking_up import look_up
from .refusing import audit_denied


@dataclass
class Came:
    """What came of a call.

    Attributes:
        text: what the model is told.
        state: for whoever follows: done, failed, refused, denied, woken.
        files: the files after it, where it may have changed them.
        effect: what is done in the transaction that keeps it.
    """

    text: str
    state: str = "done"
    files: Files | None = None
    effect: Callable[[AsyncConnection], Awaitable[str]] | None = None


class Beyond:
    """Calls that reach beyond a job, in the name of who submitted it."""

    def __init__(self, database: Database, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    def timer(self, step: Step, wanted: SetTimer) -> Came:
        """Return what keeps a timer: it is set in the transaction that keeps the call."""
        spec = wanted.timer()
        for action in spec.actions:
            try:
                check_action(action, self._settings)
            except ConnectorFault as fault:
                return Came(f"error: {fault.field}: expected {fault.expected}", "failed")

        async def effect(connection: AsyncConnection) -> str:
            now = self._clock()
            await self._require_behind(connection, step, AgentTool.SET_TIMER, now)
            timer = await timers.accept(
                connection,
                step.begun.tenant,
                spec,
                fire_at=now + timedelta(seconds=wanted.seconds),
                now=now,
                actor=step.begun.actor,
                traceparent=None,
            )
            # A worker that serves sandboxes knows no engine: the reconciler hands it over.
            return timer.id

        return Came("the timer is set", effect=effect)

    async def look_up(self, step: Step, wanted: Context) -> Came:
        """Look into what was captured and taken in, or read on in it."""
        async with self._database.read() as connection:
            await self._require_behind(connection, step, AgentTool.CONTEXT, self._clock())
        # Without the words: they may be what is not to be known.
        audit(
            "job.context",
            actor=step.begun.actor,
            tenant=step.begun.tenant,
            decision="allow",
            job=step.begun.job_id,
            **({"searched": wanted.where} if wanted.read is None else {"read": wanted.read}),
        )
        return Came(await look_up(self._database, step.run.tenant, wanted))

    async def _require_behind(
        self, connection: AsyncConnection, step: Step, tool: AgentTool, now: datetime
    ) -> None:
        """Refuse what reaches beyond the job to an agent of somebody who may not do it any more.

        Raises:
            Failure: denied.
        """
        begun, local = step.begun, self._settings.gateway.allow_dev_tenant
        try:
            await authority.require_behind(
                connection, begun.tenant, begun.actor, authority.NEEDED[tool], now=now, local=local
            )
        except Failure as failure:
            audit_denied(begun, tool.value, failure.detail)
            raise
