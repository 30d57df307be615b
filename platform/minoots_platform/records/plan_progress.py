"""Carrying a plan on: what has ended, what follows from it, and the timers that begin.

The plan's row is locked and its nodes moved in the transaction that inserts the timers, so that two workers,
or one that died and one that took over, never begin a node twice and never forget one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import EventType, NodeState, NodeTimer, PlanNode, PlanState, TimerState
from minoots.contracts.payloads import Payload
from minoots.errors import Failure, FailureKind
from minoots_platform.expressions import ExpressionFault
from minoots_platform.planning import Decision, Node, Verdict, decide, fill
from minoots_platform.planning.language import visible

from . import children, commands, events, plan_nodes, results, schema, timers

TABLE = schema.plan_nodes
_PLANS = schema.plans

_BATCH: Final = 100
"""Nodes that begin in one transaction: few enough to hold the locks for some ten milliseconds."""

_AGAIN: Final = timedelta(seconds=1)
"""When to try again to call a timer off that is being sent this moment."""

_PAYLOAD: TypeAdapter[Any] = TypeAdapter(Payload)
_ENDS: Final = {
    TimerState.SETTLED: NodeState.SUCCEEDED,
    TimerState.FAILED: NodeState.FAILED,
    TimerState.CANCELLED: NodeState.CANCELLED,
}
_TOLD: Final = {
    NodeState.RUNNING: EventType.NODE_BEGUN,
    NodeState.SUCCEEDED: EventType.NODE_SUCCEEDED,
    NodeState.FAILED: EventType.NODE_FAILED,
    NodeState.SKIPPED: EventType.NODE_SKIPPED,
    NodeState.CANCELLED: EventType.NODE_CANCELLED,
}


@dataclass(frozen=True)
class Advanced:
    """How a plan stands after a look at it."""

    state: PlanState
    generation: int
    over: bool
    """Whether no timer of it is under way any more and none will be set."""
    begun: int
    ended: int
    nodes: int
    wake_at: datetime | None = None
    """When to look again; ``None`` when only the end of a timer or a change can bring more."""


@dataclass
class _Standing:
    """A node while a plan is looked at."""

    row: sa.Row[Any]
    state: NodeState
    ended_at: datetime | None
    deadline_at: datetime | None
    result: Any
    changed: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def spec(self) -> PlanNode:
        """What was asked for. Read only of nodes that something happens to: a plan has a thousand."""
        return PlanNode.model_validate({"id": self.row.id, **self.row.spec})

    @cached_property
    def after(self) -> tuple[str, ...]:
        """The nodes before it."""
        return tuple(self.row.spec["after"])

    def set(self, **values: Any) -> None:
        """Note what is to be written."""
        self.changed |= values
        for name in ("ended_at", "deadline_at", "result"):
            if name in values:
                setattr(self, name, values[name])
        if "state" in values:
            self.state = NodeState(values["state"])

    def get(self, name: str) -> Any:
        """Return a column as it will be."""
        return self.changed.get(name, getattr(self.row, name))


@dataclass
class _Look:
    """One look at a plan: what is known, and what is to be told."""

    connection: AsyncConnection
    plan: sa.Row[Any]
    nodes: dict[str, _Standing]
    now: datetime
    told: list[events.NewEvent]
    again_at: list[datetime] = field(default_factory=list)
    begun: int = 0

    def move(self, standing: _Standing, state: NodeState, **values: Any) -> None:
        """Let a node stand otherwise, and tell of it."""
        standing.set(state=state.value, **values)
        told = {
            "node": standing.row.id,
            "timer_id": standing.get("timer_id"),
            "reason": values.get("state_reason"),
        }
        self.told.append(plan_nodes.event_of(self.plan, _TOLD[state], self.now, **told))

    def end(self, standing: _Standing, state: NodeState, at: datetime, reason: str | None) -> None:
        """Let a node end."""
        self.move(standing, state, ended_at=at, state_reason=reason)

    def running(self) -> list[_Standing]:
        """Return the nodes that have a timer which has not ended."""
        return [one for one in self.nodes.values() if one.state is NodeState.RUNNING]

    def data(self, text: str, after: Sequence[str]) -> dict[str, Any]:
        """Return what an expression sees: nodes that have ended and that it names or comes after."""
        names = visible(text, after, self.nodes)
        ended = {name: self.nodes[name] for name in names if self.nodes[name].state.final}
        nodes = {name: {"state": one.state.value, **(one.result or {})} for name, one in ended.items()}
        return {"nodes": nodes, "payload": self.plan.payload, "labels": self.plan.labels}


async def advance(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    *,
    now: datetime,
    told: Sequence[events.NewEvent] = (),
) -> Advanced:
    """Take over what has ended, begin what follows, and end the plan after its last node.

    ``told`` are events of the same transaction, to be appended before its own.
    """
    look = await _open(connection, tenant, plan_id, now, told)
    state = PlanState(look.plan.state)
    await _take_over(look)
    if state is PlanState.RUNNING:
        await _enforce_deadlines(look)
        await _follow(look)
    if not state.final and all(one.state.final for one in look.nodes.values()):
        state = await _finish(look)
    await _write(look)
    if look.told:
        await events.append(connection, tenant, look.told)
    over = state.final and not look.running()
    if look.begun == _BATCH:
        look.again_at.append(now)
    if state is PlanState.RUNNING:
        look.again_at += [one.deadline_at for one in look.running() if one.deadline_at is not None]
    wake_at = None if over else min(look.again_at, default=None)
    standings = look.nodes.values()
    return Advanced(
        state=state,
        generation=look.plan.generation,
        over=over,
        begun=sum(one.get("ready_at") is not None for one in standings),
        ended=sum(one.state.final for one in standings),
        nodes=len(standings),
        wake_at=wake_at,
    )


async def _open(
    connection: AsyncConnection,
    tenant: str,
    plan_id: str,
    now: datetime,
    told: Sequence[events.NewEvent],
) -> _Look:
    query = sa.select(_PLANS).where(_PLANS.c.tenant == tenant, _PLANS.c.id == plan_id).with_for_update()
    plan = (await connection.execute(query)).one()
    rows = await connection.execute(
        sa.select(TABLE).where(TABLE.c.plan_id == plan_id).order_by(TABLE.c.position)
    )
    nodes = {
        row.id: _Standing(
            row=row,
            state=NodeState(row.state),
            ended_at=row.ended_at,
            deadline_at=row.deadline_at,
            result=row.result,
        )
        for row in rows
    }
    return _Look(connection, plan, nodes, now, list(told))


async def _take_over(look: _Look) -> None:
    """Let nodes end whose timers have ended; follow timers that were moved by hand."""
    by_timer = {one.row.timer_id: one for one in look.running()}
    table = timers.TABLE
    columns = (table.c.id, table.c.state, table.c.state_reason, table.c.settled_at, table.c.fire_at)
    query = sa.select(*columns).where(table.c.id.in_(sorted(by_timer))).order_by(table.c.settled_at)
    rows = (await look.connection.execute(query)).all() if by_timer else []
    ended = [row for row in rows if row.settled_at is not None]
    found = await results.of_timers(look.connection, [row.id for row in ended])
    for row in rows:
        standing = by_timer[row.id]
        if row.fire_at != standing.row.due_at:
            later = standing.spec.deadline and row.fire_at + standing.spec.deadline
            standing.set(due_at=row.fire_at, deadline_at=later)
        if row.settled_at is not None:
            standing.set(result=found[row.id])
            look.end(standing, _ENDS[TimerState(row.state)], row.settled_at, row.state_reason)


async def _enforce_deadlines(look: _Look) -> None:
    late = [one for one in look.running() if one.deadline_at is not None and one.deadline_at <= look.now]
    for standing in await _cancel_timers(look, late, "the deadline of its node has passed"):
        deadline = standing.deadline_at or look.now
        reason = f"its deadline passed at {deadline.isoformat(timespec='milliseconds')}"
        look.end(standing, NodeState.FAILED, look.now, reason)


async def _follow(look: _Look) -> None:
    """Carry out what follows, and what follows from that, until nothing does."""
    tried: set[str] = set()
    while look.begun < _BATCH:
        nodes = [_node(standing) for standing in look.nodes.values()]
        found = [one for one in decide(nodes, look.data, look.plan.created_at) if one.node not in tried]
        if not found:
            return
        tried |= {one.node for one in found if one.verdict is Verdict.CANCEL}
        await _carry_out(look, found)


async def _carry_out(look: _Look, decisions: Sequence[Decision]) -> None:
    losers = [look.nodes[one.node] for one in decisions if one.verdict is Verdict.CANCEL]
    called_off = await _cancel_timers(
        look, [one for one in losers if one.state is NodeState.RUNNING], "another node has won its race"
    )
    for decision in decisions:
        standing = look.nodes[decision.node]
        match decision.verdict:
            case Verdict.BEGIN if look.begun < _BATCH:
                await _begin(look, standing, decision.at)
            case Verdict.SKIP:
                look.end(standing, NodeState.SKIPPED, decision.at, decision.reason)
            case Verdict.FAIL:
                look.end(standing, NodeState.FAILED, decision.at, decision.reason)
            case Verdict.CANCEL if standing.state is NodeState.WAITING or standing in called_off:
                look.end(standing, NodeState.CANCELLED, look.now, decision.reason)


async def _begin(look: _Look, standing: _Standing, ready_at: datetime) -> None:
    spec, plan = standing.spec, look.plan
    try:
        timer = _timer(look, spec)
    except (ExpressionFault, ValidationError) as fault:
        told = str(fault) if isinstance(fault, ExpressionFault) else "payload: it is too large when filled in"
        look.end(standing, NodeState.FAILED, look.now, told[:500])
        return
    due_at = plan_nodes.due(spec.delay, spec.at, ready_at)
    row = await timers.insert(
        look.connection,
        plan.tenant,
        timers.template_of(timer) | {"name": timer.name or f"{plan.name}/{spec.id}"[:200]},
        fire_at=due_at,
        now=look.now,
        # Of whoever added it: what it starts is looked at as theirs, and not as the plan's.
        actor=standing.row.created_by or plan.created_by,
        traceparent=plan.traceparent,
        parent_id=plan.id,
        part=spec.id,
    )
    look.begun += 1
    look.told.append(timers.event_of(row, EventType.TIMER_SCHEDULED, look.now, by=f"plan/{plan.id}"))
    look.move(
        standing,
        NodeState.RUNNING,
        timer_id=row.id,
        ready_at=ready_at,
        due_at=due_at,
        deadline_at=None if spec.deadline is None else due_at + spec.deadline,
    )


def _timer(look: _Look, node: PlanNode) -> NodeTimer:
    """Return what a node sends, with the expressions in its payload replaced."""
    payload = fill(node.timer.payload, lambda text: look.data(text, node.after))
    return node.timer.model_copy(update={"payload": _PAYLOAD.validate_python(payload)})


async def _cancel_timers(look: _Look, nodes: Sequence[_Standing], reason: str) -> list[_Standing]:
    """Call timers off; return the nodes whose timers could be. The others are tried again soon."""
    by_id = {one.row.id: one for one in nodes}
    called_off: list[_Standing] = []
    locked = await children.lock(look.connection, look.plan.id, among=by_id) if by_id else []
    for timer in locked:
        try:
            _, told = await commands.carry_out(
                look.connection, timer, commands.CancelIt(reason), now=look.now, actor="plan"
            )
        except Failure as failure:
            if failure.kind is not FailureKind.CONFLICT:
                raise
            look.again_at.append(look.now + _AGAIN)
        else:
            look.told += told
            called_off.append(by_id[timer.part])
    return called_off


async def _finish(look: _Look) -> PlanState:
    answered = {
        name
        for one in look.nodes.values()
        if one.get("ready_at") is not None and one.row.spec["when"] != "succeeded"
        for name in one.after
    }
    lost = [
        name for name, one in look.nodes.items() if one.state is NodeState.FAILED and name not in answered
    ]
    state = PlanState.FAILED if lost else PlanState.SETTLED
    reason = f"no node answers to the failure of {', '.join(lost[:10])}" if lost else None
    ended_at = max((one.ended_at for one in look.nodes.values() if one.ended_at), default=look.now)
    values = {"state": state.value, "state_reason": reason, "ended_at": ended_at, "updated_at": look.now}
    await look.connection.execute(sa.update(_PLANS).where(_PLANS.c.id == look.plan.id).values(**values))
    kind = EventType.PLAN_FAILED if lost else EventType.PLAN_SETTLED
    look.told.append(plan_nodes.event_of(look.plan, kind, look.now, reason=reason))
    return state


async def _write(look: _Look) -> None:
    for standing in look.nodes.values():
        if standing.changed:
            query = sa.update(TABLE).where(*plan_nodes.same(standing.row)).values(**standing.changed)
            await look.connection.execute(query)


def _node(standing: _Standing) -> Node:
    spec = standing.row.spec
    return Node(
        id=standing.row.id,
        state=standing.state,
        after=standing.after,
        join=spec["join"],
        when=spec["when"],
        race=spec["race"],
        ended_at=standing.ended_at,
    )
