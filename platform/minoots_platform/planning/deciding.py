"""What follows from what has ended: which nodes begin, and which never will."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeAlias

from minoots.contracts import NodeState
from minoots_platform.expressions import ExpressionFault

from .checking import needed_of
from .language import EXPRESSIONS, KEYWORDS

_COUNTING: Final[Mapping[str, frozenset[NodeState]]] = {
    "succeeded": frozenset({NodeState.SUCCEEDED}),
    "failed": frozenset({NodeState.FAILED}),
    "settled": frozenset({NodeState.SUCCEEDED, NodeState.FAILED}),
    "always": frozenset(state for state in NodeState if state.final),
}


Data: TypeAlias = Callable[[str, tuple[str, ...]], Mapping[str, Any]]
"""What an expression sees, of a node that comes after these."""


@dataclass(frozen=True)
class Node:
    """What a decision needs to know of a node."""

    id: str
    state: NodeState
    after: tuple[str, ...]
    join: str | int
    when: str
    race: str | None
    ended_at: datetime | None


class Verdict(Enum):
    """What becomes of a node."""

    BEGIN = "begin"
    SKIP = "skip"
    FAIL = "fail"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Decision:
    """What becomes of one node, since when, and why."""

    node: str
    verdict: Verdict
    at: datetime
    reason: str | None = None


def decide(nodes: Iterable[Node], data: Data, started_at: datetime) -> list[Decision]:
    """Return what is to become of nodes now; decide again once that was done.

    Args:
        nodes: all of the plan.
        data: gives the variables of its expressions.
        started_at: when those begin that come after no node.
    """
    by_id = {node.id: node for node in nodes}
    winners = {node.race: node for node in by_id.values() if node.race and node.state is NodeState.SUCCEEDED}
    decisions: list[Decision] = []
    for node in by_id.values():
        if node.state.final:
            continue
        winner = winners.get(node.race) if node.race else None
        if winner is not None and winner.ended_at is not None:
            reason = f"{winner.id} has won the race {node.race}"
            decisions.append(Decision(node.id, Verdict.CANCEL, winner.ended_at, reason))
        elif node.state is NodeState.WAITING:
            decision = _decide(node, by_id, data, started_at)
            if decision is not None:
                decisions.append(decision)
    return decisions


def _decide(node: Node, by_id: Mapping[str, Node], data: Data, started_at: datetime) -> Decision | None:
    if not node.after:
        return Decision(node.id, Verdict.BEGIN, started_at)
    before = [by_id[name] for name in node.after]
    counting = _COUNTING.get(node.when, _COUNTING["settled"])
    ended = sorted(one.ended_at for one in before if one.state in counting and one.ended_at is not None)
    pending = sum(not one.state.final for one in before)
    needed = needed_of(node.join, len(before))
    latest = max((one.ended_at for one in before if one.ended_at is not None), default=started_at)
    if len(ended) + pending < needed:
        shown = ", ".join(f"{one.id} {one.state}" for one in before if one.state.final)
        reason = f"it needs {needed} of {len(before)} {node.when}; {shown}"[:500]
        return Decision(node.id, Verdict.SKIP, latest, reason)
    if len(ended) < needed:
        return None
    if node.when in KEYWORDS:
        return Decision(node.id, Verdict.BEGIN, ended[needed - 1])
    try:
        if EXPRESSIONS.holds(node.when, data(node.when, node.after)):
            return Decision(node.id, Verdict.BEGIN, latest)
    except ExpressionFault as fault:
        # Those that have not ended may bring what is missing.
        reason = f"its condition has no value: {fault}"[:500]
        return None if pending else Decision(node.id, Verdict.FAIL, latest, reason)
    return None if pending else Decision(node.id, Verdict.SKIP, latest, "its condition is false")
