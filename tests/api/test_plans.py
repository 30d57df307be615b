"""Plans over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateways import Door
from receivers import Answer, Receiver
from stacks import eventually

HOOK = "http://127.0.0.1:9/hook"


def node(name: str, *after: str, url: str = HOOK, payload: Any = None, **more: Any) -> dict[str, Any]:
    timer = {"actions": [{"url": url, "headers": {"Authorization": "Bearer s"}}], "payload": payload}
    return {"id": name, "after": list(after), "timer": timer, **more}


def spec(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "release", "nodes": list(nodes), **more}


async def created(door: Door, *nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await door.http.post("/v1/plans", json=spec(*nodes, **more))
    assert answer.status_code == 201, answer.text
    plan: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/plans/{plan['id']}"
    return plan


async def ended(door: Door, plan: dict[str, Any]) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        found: dict[str, Any] = (await door.http.get(f"/v1/plans/{plan['id']}")).json()
        return found

    return await eventually(look, lambda found: found["state"] not in ("running", "paused"))


async def test_a_chain_passes_on_what_came_of_it(full: Door, receiver: Receiver) -> None:
    receiver.answers(Answer(200, body=b'{"id": 7}'), 204)
    plan = await created(
        full,
        node("build", url=receiver.url, payload={"branch": {"$cel": "payload.branch"}}),
        node("deploy", "build", url=receiver.url, payload={"id": {"$cel": "nodes.build.response.id"}}),
        payload={"branch": "main"},
    )
    assert (await ended(full, plan))["state"] == "settled"
    first, second = (request.event["data"] for request in receiver.requests)
    assert first["payload"] == {"branch": "main"}
    assert first["plan"] == {"plan_id": plan["id"], "node": "build"}
    assert second["payload"] == {"id": 7}


async def test_a_failure_is_answered_by_the_node_that_asks_for_it(full: Door, receiver: Receiver) -> None:
    receiver.answers(400, 204)
    plan = await created(
        full,
        node("a", url=receiver.url),
        node("undo", "a", url=receiver.url, when="failed"),
        node("next", "a", url=receiver.url),
    )
    found = await ended(full, plan)
    assert found["state"] == "settled"
    assert found["counts"] == {"succeeded": 1, "failed": 1, "skipped": 1}
    assert len(receiver.requests) == 2
    dead = (await full.http.get("/v1/dead-letters")).json()["items"]
    assert [letter["timer_name"] for letter in dead] == ["release/a"]


async def test_a_running_plan_is_adjusted_by_whom_it_wakes(full: Door, receiver: Receiver) -> None:
    plan = await created(
        full, node("ask", url=receiver.url), node("later", "ask", url=receiver.url, delay="1h")
    )
    await receiver.expect(1)
    base = f"/v1/plans/{receiver.requests[0].event['data']['plan']['plan_id']}"
    got = await full.http.get(base)
    patch = {
        "add": [node("more", "ask", url=receiver.url)],
        "move": [{"id": "later", "delay": "0.2s"}],
    }
    changed = await full.http.patch(base, json=patch, headers={"If-Match": got.headers["etag"]})
    assert changed.status_code == 200, changed.text
    stale = await full.http.patch(base, json=patch, headers={"If-Match": got.headers["etag"]})
    assert (stale.status_code, stale.json()["kind"]) == (412, "stale")
    assert (await ended(full, plan))["counts"] == {"succeeded": 3}
    timers = (await full.http.get("/v1/timers", params={"plan": plan["id"]})).json()["items"]
    assert {timer["plan"]["node"] for timer in timers} == {"ask", "later", "more"}


async def test_cancelling_a_timer_moves_its_plan_at_once(full: Door, receiver: Receiver) -> None:
    plan = await created(full, node("a", delay="1h"), node("b", "a", url=receiver.url, when="always"))
    await full.http.post(f"/v1/timers/{plan['nodes'][0]['timer_id']}/cancel")
    assert (await ended(full, plan))["counts"] == {"cancelled": 1, "succeeded": 1}


async def test_the_life_of_a_plan(door: Door) -> None:
    plan = await created(door, node("a", delay="1h"), node("b", "a", join="all", when="always"))
    base = f"/v1/plans/{plan['id']}"
    for verb, state in (("pause", "paused"), ("resume", "running")):
        assert (await door.http.post(f"{base}/{verb}")).json()["state"] == state
    cancelled = await door.http.post(f"{base}/cancel", json={"reason": "enough"})
    assert (cancelled.json()["state"], cancelled.json()["state_reason"]) == ("cancelled", "enough")
    again = await door.http.post(f"{base}/pause")
    assert (again.status_code, again.json()["kind"]) == (409, "conflict")
    told = [event["type"] for event in (await door.http.get(f"{base}/events")).json()["items"]]
    assert told == [
        "plan.created", "node.begun", "plan.paused", "plan.resumed", "plan.cancelled", "node.cancelled",
        "node.cancelled",
    ]  # fmt: skip
    [listed] = (await door.http.get("/v1/plans", params={"state": "cancelled", "name": "release"})).json()[
        "items"
    ]
    assert listed["counts"] == {"cancelled": 2}
    assert "nodes" not in listed


async def test_credentials_in_a_plan_are_not_repeated(door: Door) -> None:
    plan = await created(door, node("a", delay="1h"))
    assert plan["nodes"][0]["timer"]["actions"][0]["headers"] == {"Authorization": "********"}


async def test_a_plan_is_drawn(door: Door) -> None:
    plan = await created(
        door,
        node("a", delay="1h"),
        node("b", delay="1h"),
        node("c", "a", "b", join="any", when='nodes.a.state == "failed"'),
    )
    drawn = (await door.http.get(f"/v1/plans/{plan['id']}/graph")).json()
    mermaid = drawn["mermaid"].splitlines()
    assert mermaid[0] == "flowchart TD"
    assert '  n2["c<br/>waiting"]:::waiting' in mermaid
    assert '  n0 -->|"any of 2 if nodes.a.state == #quot;failed#quot;"| n2' in mermaid
    assert "  n1 --> n2" in mermaid
    assert drawn["dot"].startswith("digraph plan {")
    assert drawn["dot"].count("->") == 2


async def test_the_same_key_makes_one_plan(door: Door) -> None:
    headers = {"Idempotency-Key": "k"}
    body = spec(node("a", delay="1h"))
    first, again = await asyncio.gather(
        *(door.http.post("/v1/plans", json=body, headers=headers) for _ in range(2))
    )
    assert first.json() == again.json()
    assert len((await door.http.get("/v1/plans")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        (spec(), "body.nodes", "at least 1"),
        (spec(node("a", "b")), "body.nodes.0.after.0", "the id of a node"),
        (spec(node("a", "b"), node("b", "a")), "body.nodes.0.after", "no cycle"),
        (spec(node("a"), node("a")), "body.nodes.1.id", "no other node"),
        (spec(node("a"), node("b", "a", join=2)), "body.nodes.1.join", "at most 1"),
        (spec(node("a"), node("b", "a", join="some")), "body.nodes.1.join", '"all", "any"'),
        (spec(node("a"), node("b", "a", when="nodes.")), "body.nodes.1.when", "a CEL expression"),
        (spec(node("a", delay="1s", at="2030-01-01T00:00:00Z")), "body.nodes.0", "at most one of delay"),
        (spec(node("a", deadline="0.5s")), "body.nodes.0.deadline", "at least 1s"),
        (spec(node("7a")), "body.nodes.0.id", "beginning with a letter"),
        (
            spec(node("a", url="http://10.0.0.1/")),
            "body.nodes.0.timer.actions.0.url",
            "an address that is not",
        ),
        (
            spec(node("a") | {"timer": {"actions": [{"kind": "agent", "agent": "nobody"}]}}),
            "body.nodes.0.timer.actions.0.agent",
            "the id of an agent",
        ),
        (spec(*[node(f"n{number}") for number in range(1001)]), "body.nodes", "at most 1000"),
    ],
)
async def test_bad_plans_get_a_problem_that_names_the_field(
    door: Door, body: dict[str, Any], field: str, expected: str
) -> None:
    answer = await door.http.post("/v1/plans", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["kind"]) == (422, "invalid"), problem
    assert problem["errors"][0]["field"] == field
    assert expected in problem["errors"][0]["expected"]
    assert (await door.http.get("/v1/plans")).json()["items"] == []


@pytest.mark.parametrize(
    "path", ["pln_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK", "nonsense", "pln_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK/graph"]
)
async def test_an_unknown_plan_is_not_found(door: Door, path: str) -> None:
    answer = await door.http.get(f"/v1/plans/{path}")
    assert (answer.status_code, answer.json()["kind"]) == (404, "not_found")
