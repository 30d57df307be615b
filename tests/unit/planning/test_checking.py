"""Plans that cannot be carried out are refused, with the place."""

from __future__ import annotations

from typing import Any

import pytest

from minoots.contracts import NodeState, PlanNode
from minoots_platform.planning import PlanFault, check

ACTION = {"url": "https://a.example/"}


def node(name: str, *after: str, payload: Any = None, **more: Any) -> PlanNode:
    timer = {"actions": [ACTION], "payload": payload}
    return PlanNode.model_validate({"id": name, "after": after, "timer": timer, **more})


def refused(*nodes: PlanNode, **more: Any) -> PlanFault:
    with pytest.raises(PlanFault) as caught:
        check(nodes, **more)
    return caught.value


def test_a_diamond_is_fine() -> None:
    check([node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c", join="any")])


def test_an_unknown_node_is_named_with_the_nearest() -> None:
    fault = refused(node("build"), node("test", "biuld"))
    assert fault.field == "nodes.1.after.0"
    assert "did you mean build?" in fault.expected
    assert fault.got == "'biuld'"


def test_an_id_stands_once() -> None:
    assert refused(node("a"), node("a")).field == "nodes.1.id"
    assert refused(node("a"), known={"a": NodeState.RUNNING}).field == "nodes.0.id"


@pytest.mark.parametrize(
    ("nodes", "ring"),
    [
        ([("a", "a")], "a → a"),
        ([("a", "b"), ("b", "a")], "a → b → a"),
        ([("x",), ("a", "x", "c"), ("b", "a"), ("c", "b")], "a → b → c → a"),
    ],
)
def test_a_cycle_is_named_node_by_node(nodes: list[tuple[str, ...]], ring: str) -> None:
    fault = refused(*(node(*one) for one in nodes))
    assert fault.expected == "no cycle"
    steps = fault.got.split(" → ")
    assert steps[0] == steps[-1]
    assert " → ".join(steps) in {
        " → ".join([*cycle, cycle[0]])
        for cycle in (ring.split(" → ")[:-1][turn:] + ring.split(" → ")[:-1][:turn] for turn in range(3))
    }


def test_a_chain_of_a_thousand_nodes_is_checked() -> None:
    check([node("n0"), *(node(f"n{number}", f"n{number - 1}") for number in range(1, 1000))])
    ring = [node(f"n{number}", f"n{(number - 1) % 1000}") for number in range(1000)]
    assert refused(*ring).got.count("→") == 1000


def test_one_of_two_that_race_cannot_be_awaited_with_the_other() -> None:
    racers = [node("a", race="r"), node("b", race="r")]
    fault = refused(*racers, node("c", "a", "b"))
    assert fault.field == "nodes.2.after"
    assert "c is unreachable" in fault.got
    check([*racers, node("c", "a", "b", join="any")])
    check([*racers, node("c", "a", "b", when="always")])


def test_what_comes_after_an_unreachable_node_is_not_the_one_named() -> None:
    fault = refused(node("a", race="r"), node("b", race="r"), node("c", "a", "b"), node("d", "c"))
    assert fault.field == "nodes.2.after"


def test_nothing_can_be_asked_of_a_node_that_was_skipped() -> None:
    known = {"old": NodeState.SKIPPED}
    assert "unreachable" in refused(node("new", "old"), known=known).got
    check([node("new", "old", when="always")], known=known)


def test_a_join_of_more_than_there_are_is_refused() -> None:
    assert refused(node("a"), node("b", "a", join=2)).field == "nodes.1.join"
    assert refused(node("a", join="any")).field == "nodes.0.join"
    assert refused(node("a", when="failed")).field == "nodes.0.when"


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("nodes.a.state = 'x'", "Syntax error"),
        ("node.a.state == 'x'", "undeclared reference to 'node."),
        ("1 + 1", "true or false"),
        ("payload.l.map(x, x).size() > 1", "no map and no filter"),
        ("payload.l.all(x, payload.l.all(y, x == y))", "at most one"),
        ("labels.env == 1", "no matching overload"),
    ],
)
def test_an_expression_with_a_fault_is_refused(when: str, told: str) -> None:
    fault = refused(node("a"), node("b", "a", when=when))
    assert fault.field == "nodes.1.when"
    assert told in fault.got
    assert "succeeded, failed, settled, always" in fault.expected


def test_words_in_quotes_are_no_loops() -> None:
    check([node("a"), node("b", "a", when="payload.text == '.map(' || payload.l.exists(x, x == \".all(\")")])


def test_expressions_in_payloads_are_checked_where_they_stand() -> None:
    payload = {"deep": [{"ok": {"$cel": "labels.env"}}, {"bad": {"$cel": "nodes.a."}}]}
    fault = refused(node("a"), node("b", "a", payload=payload))
    assert fault.field == "nodes.1.timer.payload.deep.1.bad.$cel"
    assert refused(node("a", payload={"$cel": 7})).expected.startswith("an expression of at most")
    assert "at most 64" in refused(node("a", payload=[{"$cel": "1"}] * 65)).expected
    check([node("a", payload={"$cel": "1", "other": "an object with more is data"})])
