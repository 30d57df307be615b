"""Handing an accepted command over to Temporal. Used by the gateway at once and by the reconciler later.

Owns the calls of the Temporal client that start workflows and change them. Every call may be repeated: ids
and generations make the second one harmless. Runs outside workflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple, cast

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import Priority, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from minoots.errors import Failure, FailureKind

from . import search_attributes
from .deliveries.contracts import DeliveryDue, DeliveryStart
from .deliveries.workflow import DeliveryWorkflow
from .escalations.workflow import EscalationWorkflow
from .heartbeats.workflow import HeartbeatWorkflow
from .ids import Kind, workflow_id
from .ingest.workflow import IngestWorkflow
from .jobs.workflow import AgentJobWorkflow
from .pacing import Moved, Subject
from .plans.workflow import PlanWorkflow
from .queues import Queue
from .replays.contracts import ReplayStart
from .replays.workflow import ReplayWorkflow
from .sandboxes.workflow import SandboxWorkflow
from .schedules.contracts import ScheduleChanged, ScheduleStart
from .schedules.workflow import ScheduleWorkflow
from .summaries import summary_of
from .timers.contracts import TimerChange, TimerStart
from .timers.wake import lead_for
from .timers.workflow import TimerWorkflow

_RPC_TIMEOUT: Final = timedelta(seconds=5)

_LOOKING: Final[dict[str, Callable[..., Any]]] = {
    "plan": PlanWorkflow.run,
    "escalation": EscalationWorkflow.run,
    "heartbeat": HeartbeatWorkflow.run,
    "ingest": IngestWorkflow.run,
    "job": AgentJobWorkflow.run,
    "sandbox": SandboxWorkflow.run,
}


class Command(StrEnum):
    """What the engine is to be told of a timer."""

    START = "start"
    RESCHEDULE = "reschedule"
    PAUSE = "pause"
    RESUME = "resume"
    FIRE = "fire"
    CANCEL = "cancel"


_UPDATES: Final = {
    Command.RESCHEDULE: TimerWorkflow.reschedule,
    Command.PAUSE: TimerWorkflow.pause,
    Command.RESUME: TimerWorkflow.resume,
    Command.FIRE: TimerWorkflow.fire,
    Command.CANCEL: TimerWorkflow.cancel,
}


class Engine:
    """Temporal, as the gateway and the reconciler see it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tell(
        self,
        *,
        tenant: str,
        timer_id: str,
        name: str,
        command: str,
        generation: int,
        fire_at: datetime,
        paused: bool,
        known: bool,
        observed_lead: timedelta,
        now: datetime,
    ) -> None:
        """Make the timer's workflow stand as said; start it where there is none.

        Args:
            tenant: whose timer it is.
            timer_id: its public id.
            name: its name, for the Temporal UI.
            command: a `Command`; which update is sent.
            generation: since when the timer stands so.
            fire_at: when it is due.
            paused: whether it waits to be resumed.
            known: whether the engine was told of this timer before.
            observed_lead: how early timers have to wake at present.
            now: the time.

        Raises:
            Failure: unavailable, when Temporal could not be reached or did not answer in time; tell it again.
        """
        lead = lead_for(fire_at - now, observed_lead)
        change = TimerChange(
            generation=generation,
            fire_at=fire_at,
            lead_ms=round(lead / timedelta(milliseconds=1)),
            paused=paused,
        )
        timer = _Timer(tenant, timer_id, name)
        with _unavailable():
            if not known and command != Command.CANCEL and await self._start(timer, change):
                return
            if command == Command.START:
                return
            if await self._update(timer, Command(command), change) or command == Command.CANCEL:
                return
            # The workflow is gone although the records wait for it: it was terminated, or Temporal lost its
            # store.
            await self._start(timer, change)

    async def deliver(self, *, tenant: str, delivery_id: str, planned_at: datetime, start: bool) -> bool:
        """Tell the workflow of a delivery when its next attempt is.

        Args:
            tenant: whose delivery it is.
            delivery_id: its public id.
            planned_at: when.
            start: whether to start it where there is none. The workflow of a timer starts those of its own
                deliveries; it may be about to.

        Returns:
            Whether there is a workflow that was told.

        Raises:
            Failure: unavailable; tell it again.
        """
        due = DeliveryDue(planned_at=planned_at)
        public_id = workflow_id("delivery", tenant, delivery_id)
        with _unavailable():
            if not start:
                handle = self._client.get_workflow_handle_for(DeliveryWorkflow.run, public_id)
                try:
                    await handle.signal(DeliveryWorkflow.due, due, rpc_timeout=_RPC_TIMEOUT)
                except RPCError as error:
                    if error.status is RPCStatusCode.NOT_FOUND:
                        return False
                    raise
                return True
            await self._client.start_workflow(
                DeliveryWorkflow.run,
                DeliveryStart(tenant=tenant, delivery_id=delivery_id, next_at=planned_at),
                id=public_id,
                task_queue=Queue.CORE,
                search_attributes=search_attributes.of_tenant(tenant),
                start_signal="due",
                start_signal_args=[due],
                rpc_timeout=_RPC_TIMEOUT,
            )
        return True

    async def replay(self, *, tenant: str, replay_id: str) -> None:
        """Start a replay by filter; one that runs already goes on.

        Raises:
            Failure: unavailable; start it again.
        """
        with _unavailable():
            await self._client.start_workflow(
                ReplayWorkflow.run,
                ReplayStart(tenant=tenant, replay_id=replay_id),
                id=workflow_id("replay", tenant, replay_id),
                task_queue=Queue.CORE,
                search_attributes=search_attributes.of_tenant(tenant),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=_RPC_TIMEOUT,
            )

    async def schedule(self, *, tenant: str, schedule_id: str, name: str, generation: int) -> None:
        """Make the schedule's workflow look at the records; start it where there is none.

        Raises:
            Failure: unavailable; tell it again.
        """
        with _unavailable():
            await self._client.start_workflow(
                ScheduleWorkflow.run,
                ScheduleStart(tenant=tenant, schedule_id=schedule_id, name=name),
                id=workflow_id("schedule", tenant, schedule_id),
                task_queue=Queue.CORE,
                static_summary=summary_of(name),
                search_attributes=search_attributes.of_named(tenant, name),
                start_signal="changed",
                start_signal_args=[ScheduleChanged(generation=generation)],
                rpc_timeout=_RPC_TIMEOUT,
            )

    async def look(
        self, *, kind: str, tenant: str, public_id: str, name: str, what: str, priority: int | None = None
    ) -> None:
        """Make the workflow of something look at the records; start it where there is none.

        Args:
            kind: ``plan``, ``escalation``, ``heartbeat``, ``ingest``, ``job`` or ``sandbox``.
            tenant: whose it is.
            public_id: its id.
            name: its name, for the Temporal UI.
            what: what has happened, for whoever reads the history.
            priority: 1 goes before 5 where work waits.

        Raises:
            Failure: unavailable; tell it again.
        """
        with _unavailable():
            await self._client.start_workflow(
                _LOOKING[kind],
                Subject(tenant=tenant, id=public_id, name=name),
                id=workflow_id(cast(Kind, kind), tenant, public_id),
                task_queue=Queue.CORE,
                static_summary=summary_of(name),
                search_attributes=search_attributes.of_named(tenant, name),
                start_signal="moved",
                start_signal_args=[Moved(what=what)],
                priority=Priority.default if priority is None else Priority(priority_key=priority),
                rpc_timeout=_RPC_TIMEOUT,
            )

    async def _start(self, timer: _Timer, change: TimerChange) -> bool:
        """Start the timer's workflow; return whether it was this call that did."""
        try:
            await self._client.start_workflow(
                TimerWorkflow.run,
                TimerStart(
                    tenant=timer.tenant,
                    timer_id=timer.timer_id,
                    name=timer.name,
                    generation=change.generation,
                    fire_at=change.fire_at,
                    lead_ms=change.lead_ms,
                    paused=change.paused,
                ),
                id=workflow_id("timer", timer.tenant, timer.timer_id),
                task_queue=Queue.CORE,
                static_summary=summary_of(timer.name),
                search_attributes=search_attributes.of_timer(timer.tenant, timer.name, change.fire_at),
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _update(self, timer: _Timer, command: Command, change: TimerChange) -> bool:
        """Send the update; return whether there is a workflow that stands as ordered now."""
        handle = self._client.get_workflow_handle(workflow_id("timer", timer.tenant, timer.timer_id))
        try:
            await handle.execute_update(
                _UPDATES[command],
                change,
                # A repeated hand-over of the same generation is the same update for the server.
                id=f"{command}-{change.generation}",
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowUpdateFailedError:
            # Stale: known already. Conflict: it has fired, and the records will say so themselves.
            return True
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True


class _Timer(NamedTuple):
    tenant: str
    timer_id: str
    name: str


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    # RuntimeError: what the library raises while it has not been able to connect at all.
    except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, RuntimeError) as error:
        raise Failure(
            FailureKind.UNAVAILABLE,
            f"Temporal did not take it: {error}",
            remedy="Nothing needs doing: it is kept and handed over again.",
        ) from error
