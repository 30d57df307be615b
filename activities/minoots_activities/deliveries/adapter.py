"""`DeliveriesPort`: the attempts after the first."""

from __future__ import annotations

from temporalio import activity

from minoots_activities.waiting import heartbeats, until
from minoots_platform.clock import Clock
from minoots_platform.handover import HandOver
from minoots_platform.records import Database, deliveries, firing
from minoots_platform.records.attempts import Standing
from minoots_workflows.deliveries.contracts import AttemptReport, AttemptRequest, DeliveryClose
from minoots_workflows.deliveries.port import DeliveriesPort

from .attempt import Attempts


class Deliveries(DeliveriesPort):
    """Retries, on the records and through connectors."""

    def __init__(self, database: Database, attempts: Attempts, handover: HandOver, clock: Clock) -> None:
        self._database = database
        self._attempts = attempts
        self._handover = handover
        self._clock = clock

    @activity.defn(name="deliveries.attempt")
    async def attempt(self, request: AttemptRequest) -> AttemptReport:
        """Wait for the exact moment, send once, record the attempt and what follows from it."""
        async with heartbeats():
            await until(request.planned_at, self._clock)
            async with self._database.write() as connection:
                claim = await deliveries.claim_attempt(
                    connection,
                    request.tenant,
                    request.delivery_id,
                    planned_at=request.planned_at,
                    execution=activity.info().attempt,
                    # Read inside: waiting for the write lock is time, too.
                    now=self._clock(),
                )
                if isinstance(claim, Standing):
                    return _report(claim)
                spec = await firing.spec(connection, request.tenant, claim.timer_id)
            prepared = await self._attempts.prepare(spec, (spec.actions[claim.action],))
            outcome = await self._attempts.make(spec, claim, prepared, spec.fired_at or self._clock())
            async with self._database.write() as connection:
                recorded = await deliveries.record(connection, request.tenant, [outcome], self._clock())
        await self._handover.deliveries(request.tenant, recorded.released)
        standing = recorded.standings[claim.delivery_id]
        if standing.state not in deliveries.PLANNED:
            await self._handover.after_timer(spec.timer_id, **spec.owners)
        return _report(standing)

    @activity.defn(name="deliveries.close")
    async def close(self, request: DeliveryClose) -> None:
        """Record that the delivery was given up on request; one that is finished stays as it is."""
        async with self._database.write() as connection:
            await deliveries.close(
                connection, request.tenant, request.delivery_id, by=request.by, now=self._clock()
            )
            delivery = await deliveries.get(connection, request.tenant, request.delivery_id)
            spec = await firing.spec(connection, request.tenant, delivery.timer_id)
        await self._handover.after_timer(spec.timer_id, **spec.owners)


def _report(standing: Standing) -> AttemptReport:
    planned = standing.state in deliveries.PLANNED
    return AttemptReport(state=standing.state, next_at=standing.planned_at if planned else None)
