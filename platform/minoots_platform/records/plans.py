"""Plans: keep, and the commands that change one. Reading is in `plan_reading`.

A command is one transaction: the plan under its new generation, the nodes and timers that it concerns, the
events, and what the engine is still to be told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import (
    EventType,
    FieldProblem,
    NodeState,
    Plan,
    PlanCreate,
    PlanNode,
    PlanPatch,
    PlanState,
    TimerState,
)
from minoots.contracts.plans import MAX_NODES
from minoots.errors import Failure, FailureKind
from minoots_platform.ids import new_id
from minoots_platform.planning import PlanFault, check

from . import children, commands, content_holds, events, plan_nodes, plan_reading, schema, targets, tellable
from .generations import require_generation
from .plan_nodes import event_of
from .plan_progress import advance

TABLE = schema.plans
_NODES = schema.plan_nodes


async def accept(
    connection: AsyncConnection,
    tenant: str,
    spec: PlanCreate,
    *,
    now: datetime,
    actor: str,
    traceparent: str | None,
) -> Plan:
    """Keep a new plan and begin the nodes that come after no other. `planning.check` has passed it.

    Raises:
        Failure: invalid, when an action names a signing secret or an agent that does not exist.
    """
    await _require_targets(connection, tenant, spec.nodes, "body.nodes")
    wire = spec.model_dump(mode="json", include={"payload", "labels", "metadata"})
    row = (
        await connection.execute(
            sa.insert(TABLE)
            .values(
                id=new_id("pln", now),
                tenant=tenant,
                name=spec.name,
                state=PlanState.RUNNING.value,
                generation=1,
                payload=wire["payload"],
                labels=wire["labels"],
                meta=wire["metadata"],
                created_at=now,
                updated_at=now,
                created_by=actor,
                traceparent=traceparent,
            )
            .returning(TABLE)
        )
    ).one()
    await _insert(connection, row, spec.nodes, 0, now, actor)
    told = [event_of(row, EventType.PLAN_CREATED, now, by=actor, nodes=len(spec.nodes))]
    await advance(connection, tenant, row.id, now=now, told=told)
    return await plan_reading.get(connection, tenant, row.id)


async def pause(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    *,
    now: datetime,
    actor: str,
    if_generation: int | None,
) -> Plan:
    """Let nothing new begin, and hold the timers that wait.

    Raises:
        Failure: not_found; stale; conflict, when it is not running.
    """
    row = await _locked(connection, tenant, plan_id, if_generation, "paused", PlanState.RUNNING)
    changed = await _change(connection, row, now, state=PlanState.PAUSED.value, paused_at=now)
    told = [event_of(changed, EventType.PLAN_PAUSED, now, by=actor)]
    for timer in await children.lock(connection, plan_id, waiting=True):
        if timer.state != TimerState.PAUSED.value:
            _, more = await commands.carry_out(connection, timer, commands.Pause(), now=now, actor=actor)
            told += more
    await events.append(connection, tenant, told)
    return await plan_reading.get(connection, tenant, plan_id)


async def resume(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    *,
    now: datetime,
    actor: str,
    if_generation: int | None,
) -> Plan:
    """Let a paused plan go on. Deadlines are put off by as long as it was paused.

    Raises:
        Failure: not_found; stale; conflict, when it is not paused.
    """
    row = await _locked(connection, tenant, plan_id, if_generation, "resumed", PlanState.PAUSED)
    changed = await _change(connection, row, now, state=PlanState.RUNNING.value, paused_at=None)
    told = [event_of(changed, EventType.PLAN_RESUMED, now, by=actor)]
    for timer in await children.lock(connection, plan_id, waiting=True):
        if timer.state == TimerState.PAUSED.value:
            _, more = await commands.carry_out(connection, timer, commands.Resume(), now=now, actor=actor)
            told += more
    await plan_nodes.put_off_deadlines(connection, plan_id, now - row.paused_at)
    await advance(connection, tenant, plan_id, now=now, told=told)
    return await plan_reading.get(connection, tenant, plan_id)


async def cancel(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    reason: str | None,
    *,
    now: datetime,
    actor: str,
    if_generation: int | None,
) -> Plan:
    """End a plan for good, with every node that has not ended. What is being sent this moment goes on.

    Raises:
        Failure: not_found; stale; conflict, when it has ended.
    """
    row = await _locked(
        connection, tenant, plan_id, if_generation, "cancelled", PlanState.RUNNING, PlanState.PAUSED
    )
    changed = await _change(
        connection,
        row,
        now,
        state=PlanState.CANCELLED.value,
        state_reason=reason or "cancelled on request",
        ended_at=now,
    )
    told = [event_of(changed, EventType.PLAN_CANCELLED, now, by=actor, reason=reason)]
    told += await plan_nodes.cancel_all(connection, changed, "its plan was cancelled", now, actor)
    await advance(connection, tenant, plan_id, now=now, told=told)
    return await plan_reading.get(connection, tenant, plan_id)


async def update(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    patch: PlanPatch,
    *,
    now: datetime,
    actor: str,
    if_generation: int | None,
) -> Plan:
    """Add nodes, move times, call nodes off.

    Raises:
        Failure: not_found; stale; conflict, when the plan has ended or a node is too far along; invalid, for
            nodes that cannot be.
    """
    row = await _locked(
        connection, tenant, plan_id, if_generation, "changed", PlanState.RUNNING, PlanState.PAUSED
    )
    found = (await connection.execute(sa.select(_NODES).where(_NODES.c.plan_id == plan_id))).all()
    states = {node.id: NodeState(node.state) for node in found}
    if len(found) + len(patch.add) > MAX_NODES:
        fault = PlanFault(
            "add", f"at most {MAX_NODES} nodes in a plan", f"{len(found)} and {len(patch.add)} more"
        )
        raise not_possible(fault)
    _require_known([move.id for move in patch.move], states, "move")
    _require_known(patch.cancel, states, "cancel")
    try:
        check(patch.add, field="add", known=states)
    except PlanFault as fault:
        raise not_possible(fault) from fault
    await _require_targets(connection, tenant, patch.add, "body.add")
    await _insert(connection, row, patch.add, 1 + max(node.position for node in found), now, actor)
    changed = await _change(connection, row, now)
    told = [
        event_of(
            changed,
            EventType.PLAN_CHANGED,
            now,
            by=actor,
            added=[node.id for node in patch.add] or None,
            moved=[move.id for move in patch.move] or None,
            cancelled=list(patch.cancel) or None,
        )
    ]
    told += await plan_nodes.move(connection, changed, patch.move, now, actor)
    told += await plan_nodes.cancel_some(connection, changed, patch.cancel, now, actor)
    await advance(connection, tenant, plan_id, now=now, told=told)
    return await plan_reading.get(connection, tenant, plan_id)


def not_possible(fault: PlanFault) -> Failure:
    """Return the failure for a plan that cannot be carried out."""
    problem = FieldProblem(field=f"body.{fault.field}", expected=fault.expected, got=fault.got)
    return Failure(
        FailureKind.INVALID,
        f"the plan is not possible: expected {fault.expected}",
        remedy="docs/how-to/plans.md shows how nodes follow from one another.",
        errors=(problem,),
    )


def _require_known(ids: Collection[str], known: Collection[str], field: str) -> None:
    for position, name in enumerate(ids):
        if name not in known:
            raise not_possible(PlanFault(f"{field}.{position}", "the id of a node of the plan", repr(name)))


async def _require_targets(
    connection: AsyncConnection, tenant: str, nodes: Sequence[PlanNode], field: str
) -> None:
    places = {f"{field}.{index}.timer.actions": node.timer.actions for index, node in enumerate(nodes)}
    await targets.require(connection, tenant, places)
    for index, node in enumerate(nodes):
        place = f"{field}.{index}.timer.acknowledge"
        await tellable.require_acknowledgement(connection, tenant, node.timer.acknowledge, place)


async def _insert(
    connection: AsyncConnection,
    plan: sa.Row[Any],
    nodes: Sequence[PlanNode],
    first: int,
    now: datetime,
    actor: str,
) -> None:
    actions = [action for node in nodes for action in node.timer.actions]
    await content_holds.require(connection, plan.tenant, actions, now)
    await content_holds.hold(connection, plan.tenant, "plan", plan.id, actions)
    rows = [
        {
            "plan_id": plan.id,
            "id": node.id,
            "position": position,
            "spec": node.model_dump(mode="json", exclude={"id"}),
            "state": NodeState.WAITING.value,
            "result": None,
            "created_by": actor,
        }
        for position, node in enumerate(nodes, first)
    ]
    if rows:
        await connection.execute(sa.insert(_NODES), rows)


async def _locked(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    if_generation: int | None,
    verb: str,
    *allowed: PlanState,
) -> sa.Row[Any]:
    row = await plan_reading.row_of(connection, tenant, plan_id, for_update=True)
    require_generation("plan", row.generation, if_generation)
    if row.state not in allowed:
        because = f": {row.state_reason}" if row.state_reason else ""
        raise Failure(
            FailureKind.CONFLICT,
            f"plan {plan_id} is {row.state}{because}; it cannot be {verb}",
            remedy="GET /v1/plans/{id} shows how it stands; a new one is made with POST /v1/plans.",
        )
    return row


async def _change(connection: AsyncConnection, row: sa.Row[Any], now: datetime, **values: Any) -> sa.Row[Any]:
    moved = sa.update(TABLE).where(TABLE.c.id == row.id)
    moved = moved.values(generation=row.generation + 1, updated_at=now, **values)
    changed: sa.Row[Any] = (await connection.execute(moved.returning(TABLE))).one()
    return changed
