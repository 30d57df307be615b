"""What follows from what has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts import NodeState, PlanNode
from minoots_platform.planning import Decision, Node, PlanFault, Verdict, check, decide

START = datetime(2026, 1, 1, tzinfo=UTC)
S, F, W, R, SK, C = (
    NodeState.SUCCEEDED,
    NodeState.FAILED,
    NodeState.WAITING,
    NodeState.RUNNING,
    NodeState.SKIPPED,
    NodeState.CANCELLED,
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def node(name: str, state: NodeState = W, *after: str, ended: float | None = None, **more: Any) -> Node:
    values: dict[str, Any] = {"join": "all", "when": "succeeded", "race": None} | more
    ended_at = None if ended is None else at(ended)
    return Node(id=name, state=state, after=after, ended_at=ended_at, **values)


def verdicts(*nodes: Node, data: dict[str, Any] | None = None) -> dict[str, Decision]:
    seen = data or {"nodes": {}, "payload": None, "labels": {}}
    found = decide(nodes, lambda text, after: seen, START)
    return {one.node: one for one in found}


def test_those_without_predecessors_begin_with_the_plan() -> None:
    assert verdicts(node("a"), node("b", R)) == {"a": Decision("a", Verdict.BEGIN, START)}


def test_all_waits_for_the_last_and_counts_from_it() -> None:
    assert verdicts(node("a", S, ended=5), node("b", R), node("c", W, "a", "b")) == {}
    found = verdicts(node("a", S, ended=5), node("b", S, ended=9), node("c", W, "a", "b"))
    assert found["c"] == Decision("c", Verdict.BEGIN, at(9))


def test_any_and_k_count_from_the_one_that_made_it_enough() -> None:
    ended = [node("a", S, ended=5), node("b", S, ended=3), node("c", S, ended=8)]
    assert verdicts(*ended, node("x", W, "a", "b", "c", join="any"))["x"].at == at(3)
    assert verdicts(*ended, node("x", W, "a", "b", "c", join=2))["x"].at == at(5)


@pytest.mark.parametrize(
    ("when", "state", "begins"),
    [
        *[("succeeded", state, state is S) for state in (S, F, SK, C)],
        *[("failed", state, state is F) for state in (S, F, SK, C)],
        *[("settled", state, state in (S, F)) for state in (S, F, SK, C)],
        *[("always", state, True) for state in (S, F, SK, C)],
    ],
)
def test_when_says_which_ends_count(when: str, state: NodeState, begins: bool) -> None:
    found = verdicts(node("a", state, ended=2), node("b", W, "a", when=when))["b"]
    assert found.verdict is (Verdict.BEGIN if begins else Verdict.SKIP)
    assert found.at == at(2)


def test_what_can_no_longer_come_is_skipped_at_once_with_the_reason() -> None:
    found = verdicts(node("a", F, ended=2), node("b", R), node("c", W, "a", "b"))["c"]
    assert found.verdict is Verdict.SKIP
    assert found.reason == "it needs 2 of 2 succeeded; a failed"


def test_a_condition_is_asked_when_enough_have_settled() -> None:
    data = {"nodes": {"a": {"state": "succeeded", "response": {"n": 3}}}, "payload": 3, "labels": {}}
    ended = node("a", S, ended=4)
    true = node("b", W, "a", when="nodes.a.response.n == payload")
    false = node("b", W, "a", when="nodes.a.response.n > payload")
    broken = node("b", W, "a", when="nodes.a.response.m > payload")
    assert verdicts(ended, true, data=data)["b"] == Decision("b", Verdict.BEGIN, at(4))
    assert verdicts(ended, false, data=data)["b"].reason == "its condition is false"
    found = verdicts(ended, broken, data=data)["b"]
    assert found.verdict is Verdict.FAIL
    assert 'Key not found in map : "m"' in (found.reason or "")


def test_a_condition_that_is_not_true_yet_waits_for_those_that_have_not_ended() -> None:
    data = {"nodes": {"a": {"state": "succeeded"}}, "payload": None, "labels": {}}
    nodes = [node("a", S, ended=4), node("b", R)]
    for when in ("nodes.b.state == 'succeeded'", "nodes.a.state == 'failed'"):
        assert verdicts(*nodes, node("c", W, "a", "b", join="any", when=when), data=data) == {}


def test_the_first_that_succeeds_cancels_those_it_races() -> None:
    nodes = [node("a", S, ended=4, race="r"), node("b", R, race="r"), node("c", W, "x", race="r")]
    found = verdicts(*nodes, node("x", R), node("d", F, ended=1, race="r"))
    assert {name: one.verdict for name, one in found.items()} == {"b": Verdict.CANCEL, "c": Verdict.CANCEL}
    assert found["b"].reason == "a has won the race r"


_SHAPES = st.lists(
    st.tuples(
        st.sets(st.integers(0, 11), max_size=3),
        st.sampled_from(["all", "any", 2]),
        st.sampled_from(["succeeded", "failed", "settled", "always"]),
    ),
    min_size=1,
    max_size=12,
)


@given(_SHAPES, st.randoms(use_true_random=False))
def test_every_plan_that_is_accepted_comes_to_an_end(shapes: list[Any], random: Any) -> None:
    specs = []
    for number, (before, join, when) in enumerate(shapes):
        after = sorted(f"n{one}" for one in before if one < number)
        given = {"join": join, "when": when} if after else {}
        timer = {"actions": [{"url": "https://a.example/"}]}
        specs.append(PlanNode.model_validate({"id": f"n{number}", "after": after, "timer": timer, **given}))
    try:
        check(specs)
    except PlanFault:
        return
    nodes = {
        one.id: Node(one.id, NodeState.WAITING, one.after, one.join, one.when, None, None) for one in specs
    }
    clock = 0.0
    while not all(one.state.final for one in nodes.values()):
        found = decide(nodes.values(), lambda text, after: {}, START)
        running = sorted(one.id for one in nodes.values() if one.state is R)
        assert found or running, f"stuck: {nodes}"
        clock += 1
        for decision in found:
            begins = decision.verdict is Verdict.BEGIN
            _set(nodes, decision.node, R if begins else SK, None if begins else clock)
        if running:
            _set(nodes, random.choice(running), random.choice([S, F, C]), clock)


def _set(nodes: dict[str, Node], name: str, state: NodeState, ended: float | None) -> None:
    old = nodes[name]
    ended_at = None if ended is None else at(ended)
    nodes[name] = Node(name, state, old.after, old.join, old.when, old.race, ended_at)
