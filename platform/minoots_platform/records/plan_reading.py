"""Reading plans: one with its nodes, a page of them, and how many nodes of each are in which state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import NodeState, NodeView, Page, Plan, PlanState, PlanSummary
from minoots.errors import Failure, FailureKind

from . import schema
from .masking import masked_actions
from .paging import newest_first

TABLE = schema.plans
_NODES = schema.plan_nodes


async def get(connection: AsyncConnection, tenant: str, plan_id: str) -> Plan:
    """Return a plan with its nodes.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    row = await row_of(connection, tenant, plan_id)
    found = await connection.execute(
        sa.select(_NODES).where(_NODES.c.plan_id == plan_id).order_by(_NODES.c.position)
    )
    nodes = tuple(_node_view(node) for node in found)
    counts = Counter(node.state for node in nodes)
    return Plan(**_summary(row, counts), payload=row.payload, metadata=row.meta, nodes=nodes)


@dataclass(frozen=True)
class PlanQuery:
    """Which plans; the newest first."""

    states: tuple[PlanState, ...] = ()
    name: str | None = None
    limit: int = 50
    cursor: str | None = None


async def page(connection: AsyncConnection, tenant: str, wanted: PlanQuery) -> Page[PlanSummary]:
    """Return one page of plans, without their nodes."""
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant)
    if wanted.states:
        query = query.where(TABLE.c.state.in_([state.value for state in wanted.states]))
    if wanted.name is not None:
        query = query.where(TABLE.c.name == wanted.name)
    rows = await newest_first(
        connection,
        query,
        TABLE.c.created_at,
        "plans",
        lambda row: row,
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    counts = await _counts(connection, [row.id for row in rows.items])
    return Page[PlanSummary](
        items=tuple(PlanSummary(**_summary(row, counts[row.id])) for row in rows.items),
        next_cursor=rows.next_cursor,
    )


async def row_of(
    connection: AsyncConnection, tenant: str, plan_id: str, *, for_update: bool = False
) -> sa.Row[Any]:
    """Return the row of a plan, locked where asked.

    Raises:
        Failure: not_found, also for another tenant's.
    """
    query = sa.select(TABLE).where(TABLE.c.tenant == tenant, TABLE.c.id == plan_id)
    row = (await connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise Failure(
            FailureKind.NOT_FOUND,
            f"there is no plan {plan_id[:60]}",
            remedy="GET /v1/plans lists the plans of this key's tenant.",
        )
    return row


async def _counts(connection: AsyncConnection, plan_ids: Sequence[str]) -> dict[str, Counter[NodeState]]:
    counts: dict[str, Counter[NodeState]] = {plan_id: Counter() for plan_id in plan_ids}
    columns = (_NODES.c.plan_id, _NODES.c.state)
    query = sa.select(*columns, sa.func.count().label("many")).group_by(*columns)
    for row in await connection.execute(query.where(_NODES.c.plan_id.in_(plan_ids))):
        counts[row.plan_id][NodeState(row.state)] = row.many
    return counts


def _summary(row: sa.Row[Any], counts: Counter[NodeState]) -> dict[str, Any]:
    names = ("id", "name", "state", "state_reason", "generation", "labels", "created_at", "updated_at")
    return {
        **{name: getattr(row, name) for name in names},
        "ended_at": row.ended_at,
        "created_by": row.created_by,
        "counts": {state: counts[state] for state in NodeState if counts[state]},
    }


def _node_view(row: sa.Row[Any]) -> NodeView:
    spec = dict(row.spec)
    timer = spec.pop("timer")
    return NodeView(
        **spec,
        id=row.id,
        state=row.state,
        state_reason=row.state_reason,
        timer=timer | {"actions": masked_actions(timer["actions"])},
        timer_id=row.timer_id,
        ready_at=row.ready_at,
        due_at=row.due_at,
        ended_at=row.ended_at,
        result=row.result,
    )
