"""kill -9 of workers at random points of a plan of 50 nodes: every effect once by its key, none lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from dev_stacks import DevStack
from receivers import Receiver

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(240)]

NODES = 50
WORKERS = ("worker-io", "worker-core")

Start = Callable[..., DevStack]


def plan_of(dice: random.Random, url: str) -> list[dict[str, Any]]:
    """A graph of 50 nodes, six levels deep or so, each after one to three of the nodes before it."""
    nodes: list[dict[str, Any]] = []
    for number in range(NODES):
        near = list(range(max(0, number - 12), number))
        after = [] if number < 4 else dice.sample(near, dice.randint(1, min(3, len(near))))
        node: dict[str, Any] = {
            "id": f"n{number}",
            "after": [f"n{one}" for one in after],
            "delay": round(dice.uniform(0, 0.6), 3),
            "timer": {"actions": [{"url": url}], "payload": {"number": number}},
        }
        if len(after) > 1 and dice.random() < 0.3:
            node["join"] = "any"
        nodes.append(node)
    return nodes


@pytest.mark.parametrize("seed", range(20))
async def test_a_plan_is_carried_out_whatever_dies(dev_stack: Start, receiver: Receiver, seed: int) -> None:
    dice = random.Random(seed)
    stack = await asyncio.to_thread(dev_stack)
    async with httpx.AsyncClient(base_url=stack.url, timeout=90) as http:
        body = {"name": "chaos", "nodes": plan_of(dice, receiver.url)}
        made = (await http.post("/v1/plans", json=body)).raise_for_status().json()
        # None three times: the supervisor takes a part that keeps dying for broken, and stops.
        for part in dice.sample(WORKERS * 2, 3):
            await asyncio.sleep(dice.uniform(0.1, 1.5))
            try:
                os.kill(stack.pid(part), signal.SIGKILL)
            except (AssertionError, ProcessLookupError):
                continue  # it is down already
        plan = made
        async with asyncio.timeout(120):
            while plan["state"] == "running":
                plan = (await http.get(f"/v1/plans/{made['id']}", params={"wait": 30})).json()
        begun = await _begun(http, made["id"])
    assert (plan["state"], plan["counts"]) == ("settled", {"succeeded": NODES})
    keys = defaultdict(set)
    for request in receiver.requests:
        keys[request.event["data"]["plan"]["node"]].add(request.webhook_id)
    assert set(keys) == {f"n{number}" for number in range(NODES)}, "none lost"
    assert all(len(found) == 1 for found in keys.values()), "each effect has one idempotency key"
    assert sorted(begun) == sorted(keys), "each node began once"
    ended = {node["id"]: node["ended_at"] for node in plan["nodes"]}
    for node in plan["nodes"]:
        before = sorted(ended[name] for name in node["after"])
        needed = {"all": len(before), "any": 1}[node["join"]]
        assert not before or node["ready_at"] == before[needed - 1], "it began when it might, not before"


async def _begun(http: httpx.AsyncClient, plan_id: str) -> list[str]:
    """The nodes that began, as often as they did."""
    found: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        parameters = {"limit": 100, "cursor": cursor}
        page = (await http.get(f"/v1/plans/{plan_id}/events", params=parameters)).raise_for_status().json()
        found += [one["data"]["node"] for one in page["items"] if one["type"] == "node.begun"]
        cursor = page["next_cursor"]
    return found
