"""Whether a plan can be carried out: what the wire model cannot know of a single node."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from minoots.contracts import NodeState, PlanNode
from minoots.contracts.plans import MAX_CONDITION
from minoots_platform.expressions import ExpressionFault

from .filling import expressions_in
from .language import EXPRESSIONS, KEYWORDS

MAX_EXPRESSIONS: Final = 64
"""In one payload."""


class PlanFault(ValueError):
    """A plan that cannot be.

    Attributes:
        field: path below the body, such as ``nodes.3.after.0``.
        expected: what was expected there.
        got: what came.
    """

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}; got {got}")
        self.field = field
        self.expected = expected
        self.got = got


def check(
    nodes: Sequence[PlanNode],
    *,
    field: str = "nodes",
    known: Mapping[str, NodeState] | None = None,
) -> None:
    """Refuse unknown and repeated ids, cycles, nodes that can never begin, and expressions with faults.

    Args:
        nodes: those to check.
        field: where they stand in the body.
        known: nodes that the plan has already, and how they stand.

    Raises:
        PlanFault: for the first fault.
    """
    there = known or {}
    places = _places(nodes, field, there)
    for index, node in enumerate(nodes):
        _check_predecessors(node, f"{field}.{index}", places.keys() | there.keys())
    _check_cycles(nodes, places)
    _check_reachable(nodes, field, there)
    for index, node in enumerate(nodes):
        _check_expressions(node, f"{field}.{index}")


def _places(nodes: Sequence[PlanNode], field: str, known: Mapping[str, NodeState]) -> dict[str, str]:
    places: dict[str, str] = {}
    for index, node in enumerate(nodes):
        place = f"{field}.{index}.id"
        if node.id in places or node.id in known:
            raise PlanFault(place, "an id that no other node of the plan has", repr(node.id))
        places[node.id] = place
    return places


def _check_predecessors(node: PlanNode, place: str, ids: Collection[str]) -> None:
    for position, name in enumerate(node.after):
        if name not in ids:
            near = difflib.get_close_matches(name, ids, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise PlanFault(f"{place}.after.{position}", f"the id of a node{hint}", repr(name))
    if not node.after and (node.join != "all" or node.when != "succeeded"):
        given = "join" if node.join != "all" else "when"
        raise PlanFault(f"{place}.{given}", "nothing, for it comes after no node", repr(getattr(node, given)))
    if isinstance(node.join, int) and node.join > len(node.after):
        raise PlanFault(
            f"{place}.join", f"at most {len(node.after)}, the nodes it comes after", f"{node.join}"
        )


def _check_cycles(nodes: Sequence[PlanNode], places: Mapping[str, str]) -> None:
    after = {node.id: [name for name in node.after if name in places] for node in nodes}
    done: set[str] = set()
    for first in after:
        # Depth first with a stack of our own: a chain of a thousand nodes is too deep for Python's.
        path: dict[str, None] = {}
        stack = [(first, False)]
        while stack:
            name, left = stack.pop()
            if left:
                path.pop(name)
                done.add(name)
            elif name in path:
                ring = [*list(path)[list(path).index(name) :], name]
                shown = " → ".join(reversed(ring))
                raise PlanFault(places[name].removesuffix("id") + "after", "no cycle", shown)
            elif name not in done:
                path[name] = None
                stack.append((name, True))
                stack += [(before, False) for before in after[name]]


def _check_reachable(nodes: Sequence[PlanNode], field: str, known: Mapping[str, NodeState]) -> None:
    """Refuse nodes that can never begin, however the nodes before them end."""
    by_id = {node.id: node for node in nodes}
    can_begin: dict[str, bool] = {
        name: state not in (NodeState.SKIPPED, NodeState.CANCELLED) for name, state in known.items()
    }
    for name in _in_order(by_id):
        node = by_id[name]
        needed = needed_of(node.join, len(node.after))
        possible = _possible(node, by_id, can_begin)
        can_begin[name] = not node.after or possible >= needed
        if not can_begin[name]:
            index = next(index for index, one in enumerate(nodes) if one.id == name)
            expected = f"that {needed} of the nodes before it can have {_asked(node.when)}"
            raise PlanFault(f"{field}.{index}.after", expected, f"at most {possible}: {name} is unreachable")


def _possible(node: PlanNode, by_id: Mapping[str, PlanNode], can_begin: Mapping[str, bool]) -> int:
    """Return how many of the nodes before one can end as it asks, at most."""
    if node.when == "always":
        return len(node.after)
    begun = [name for name in node.after if can_begin[name]]
    if node.when != "succeeded":
        return len(begun)
    lanes: dict[str, int] = defaultdict(int)
    alone = 0
    for name in begun:
        race = by_id[name].race if name in by_id else None
        if race is None:
            alone += 1
        else:
            lanes[race] += 1
    # Of those that race, one wins and the others are cancelled.
    return alone + len(lanes)


def _in_order(by_id: Mapping[str, PlanNode]) -> list[str]:
    """Return the ids so that each comes after those it depends on. There are no cycles."""
    order: list[str] = []
    waiting = {name: {before for before in node.after if before in by_id} for name, node in by_id.items()}
    followers: dict[str, list[str]] = defaultdict(list)
    for name, before in waiting.items():
        for one in before:
            followers[one].append(name)
    ready = [name for name, before in waiting.items() if not before]
    while ready:
        name = ready.pop()
        order.append(name)
        for follower in followers[name]:
            waiting[follower].discard(name)
            if not waiting[follower]:
                ready.append(follower)
    return order


def _check_expressions(node: PlanNode, place: str) -> None:
    if node.when not in KEYWORDS:
        _check_one(f"{place}.when", node.when, condition=True)
    found = list(expressions_in(node.timer.payload, f"{place}.timer.payload"))
    if len(found) > MAX_EXPRESSIONS:
        where = f"{place}.timer.payload"
        raise PlanFault(where, f"at most {MAX_EXPRESSIONS} expressions", f"{len(found)}")
    for where, text in found:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_CONDITION:
            raise PlanFault(where, f"an expression of at most {MAX_CONDITION} characters", repr(text)[:100])
        _check_one(where, text, condition=False)


def _check_one(where: str, text: str, *, condition: bool) -> None:
    try:
        EXPRESSIONS.check(text, condition=condition)
    except ExpressionFault as fault:
        told = str(fault)
        expected = told.removeprefix("expected ") if told.startswith("expected ") else "a CEL expression"
        if condition:
            expected += ", or one of succeeded, failed, settled, always"
        raise PlanFault(where, expected, f"{text[:100]!r}: {told}") from fault


def needed_of(join: str | int, before: int) -> int:
    """Return how many of ``before`` nodes a join needs."""
    if join == "all":
        return before
    return 1 if join == "any" else int(join)


def _asked(when: str) -> str:
    return {"succeeded": "succeeded", "failed": "failed"}.get(when, "settled")
