"""``client.plans``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Unpack

from minoots.async_engine import AsyncEngine
from minoots.contracts.events import Event
from minoots.contracts.plans import Plan, PlanGraph, PlanSummary
from minoots.engine import Engine
from minoots.operations import plans
from minoots.operations.plans import NewPlan, PlanChange, PlanFilter
from minoots.waiting import until_final


class Plans:
    """Make, read, change and await timers that follow from one another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, **fields: Unpack[NewPlan]) -> Plan:
        """Make a plan: ``create(name="release", nodes=[{"id": "build", "webhook": "https://…"}, …])``.

        Takes ``name``, ``nodes`` and ``payload``, ``labels``, ``metadata``, ``idempotency_key`` (see
        `minoots.NewPlan`; a node may have the fields of its timer beside its own).
        """
        return self._engine.call(plans.create(fields))

    def get(self, plan_id: str) -> Plan:
        """Return a plan with every node as it stands."""
        return self._engine.call(plans.read(plan_id))

    def list(self, **filter: Unpack[PlanFilter]) -> Iterator[PlanSummary]:
        """Yield all plans that match ``state`` and ``name``, without their nodes, the newest first."""
        return self._engine.items(plans.listing(filter))

    def graph(self, plan_id: str) -> PlanGraph:
        """Return a plan as a drawing, in Mermaid and in DOT."""
        return self._engine.call(plans.graph(plan_id))

    def update(self, plan_id: str, *, generation: int | None = None, **change: Unpack[PlanChange]) -> Plan:
        """Add nodes, move times, call nodes off; `Stale` if the plan is past ``generation``."""
        return self._engine.call(plans.update(plan_id, change, generation))

    def pause(self, plan_id: str) -> Plan:
        """Let nothing new begin, and hold the timers that wait."""
        return self._engine.call(plans.act(plan_id, "pause"))

    def resume(self, plan_id: str) -> Plan:
        """Let a paused plan go on; deadlines are put off by as long as it was paused."""
        return self._engine.call(plans.act(plan_id, "resume"))

    def cancel(self, plan_id: str, *, reason: str | None = None) -> Plan:
        """End a plan for good, with every node that has not ended; what is being sent goes on."""
        return self._engine.call(plans.cancel(plan_id, reason))

    def wait(self, plan_id: str, *, timeout: float | None = None) -> Plan:
        """Return the plan once it has settled, failed or was cancelled.

        Raises:
            WaitTimeout: it has not after ``timeout`` seconds.
        """
        read = partial(plans.read, plan_id)
        return self._engine.run(until_final(self._engine.connection, plan_id, read, timeout))

    def events(self, plan_id: str) -> Iterator[Event]:
        """Yield the events of a plan and its nodes, oldest first."""
        return self._engine.items(plans.events(plan_id))


class AsyncPlans:
    """Make, read, change and await timers that follow from one another."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, **fields: Unpack[NewPlan]) -> Plan:
        """Make a plan: ``create(name="release", nodes=[{"id": "build", "webhook": "https://…"}, …])``.

        Takes ``name``, ``nodes`` and ``payload``, ``labels``, ``metadata``, ``idempotency_key`` (see
        `minoots.NewPlan`; a node may have the fields of its timer beside its own).
        """
        return await self._engine.call(plans.create(fields))

    async def get(self, plan_id: str) -> Plan:
        """Return a plan with every node as it stands."""
        return await self._engine.call(plans.read(plan_id))

    def list(self, **filter: Unpack[PlanFilter]) -> AsyncIterator[PlanSummary]:
        """Yield all plans that match ``state`` and ``name``, without their nodes, the newest first."""
        return self._engine.items(plans.listing(filter))

    async def graph(self, plan_id: str) -> PlanGraph:
        """Return a plan as a drawing, in Mermaid and in DOT."""
        return await self._engine.call(plans.graph(plan_id))

    async def update(
        self, plan_id: str, *, generation: int | None = None, **change: Unpack[PlanChange]
    ) -> Plan:
        """Add nodes, move times, call nodes off; `Stale` if the plan is past ``generation``."""
        return await self._engine.call(plans.update(plan_id, change, generation))

    async def pause(self, plan_id: str) -> Plan:
        """Let nothing new begin, and hold the timers that wait."""
        return await self._engine.call(plans.act(plan_id, "pause"))

    async def resume(self, plan_id: str) -> Plan:
        """Let a paused plan go on; deadlines are put off by as long as it was paused."""
        return await self._engine.call(plans.act(plan_id, "resume"))

    async def cancel(self, plan_id: str, *, reason: str | None = None) -> Plan:
        """End a plan for good, with every node that has not ended; what is being sent goes on."""
        return await self._engine.call(plans.cancel(plan_id, reason))

    async def wait(self, plan_id: str, *, timeout: float | None = None) -> Plan:  # noqa: ASYNC109 - as of timers
        """Return the plan once it has settled, failed or was cancelled.

        Raises:
            WaitTimeout: it has not after ``timeout`` seconds.
        """
        read = partial(plans.read, plan_id)
        return await self._engine.run(until_final(self._engine.connection, plan_id, read, timeout))

    def events(self, plan_id: str) -> AsyncIterator[Event]:
        """Yield the events of a plan and its nodes, oldest first."""
        return self._engine.items(plans.events(plan_id))
