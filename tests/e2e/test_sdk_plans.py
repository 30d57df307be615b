"""Plans and escalations by SDK and command line, against a real stack."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import dev_stacks
import pytest
from dev_stacks import DevStack
from receivers import Receiver

from minoots import AsyncMinoots, Conflict, InvalidRequest, Minoots, NotFound, PlanState, Stale, WaitTimeout

pytestmark = pytest.mark.e2e


async def minoots(stack: DevStack, *arguments: str, expect: int = 0) -> str:
    """Run the command line; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        dev_stacks.MINOOTS,
        "--url",
        stack.url,
        *arguments,
        env=dev_stacks.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == expect, (out + err).decode()
    return out.decode()


async def test_plans_by_the_async_client(shared_stack: DevStack, receiver: Receiver) -> None:
    async with AsyncMinoots(shared_stack.url) as client:
        plan = await client.plans.create(
            name="sdk",
            nodes=[
                {"id": "a", "webhook": receiver.url},
                {"id": "b", "after": ["a"], "delay": "1h", "webhook": receiver.url, "misfire": "fire"},
            ],
        )
        with pytest.raises(WaitTimeout, match="it is running"):
            await client.plans.wait(plan.id, timeout=0.5)
        changed = await client.plans.update(
            plan.id, generation=1, add=[{"id": "c", "after": ["a"], "webhook": receiver.url}],
            move=[{"id": "b", "delay": "0.1s"}],
        )  # fmt: skip
        with pytest.raises(Stale):
            await client.plans.update(plan.id, generation=1, cancel=["b"])
        assert changed.generation == 2
        found = await client.plans.wait(plan.id, timeout=30)
        assert (found.state, len(receiver.requests)) == (PlanState.SETTLED, 3)
        assert (await client.plans.graph(plan.id)).mermaid.startswith("flowchart")
        assert [one.id async for one in client.plans.list(name="sdk")] == [plan.id]
        assert [event.type async for event in client.plans.events(plan.id)][-1] == "plan.settled"


async def test_bad_plans_are_refused_before_anything_is_sent(shared_stack: DevStack) -> None:
    with Minoots(shared_stack.url) as client:
        with pytest.raises(InvalidRequest, match=r"body\.nodes\.0"):
            client.plans.create(name="p", nodes=[{"id": "a", "webhook": "ftp://x"}])
        ring = [
            {"id": "a", "after": ["b"], "webhook": "http://127.0.0.1:9/"},
            {"id": "b", "after": ["a"], "webhook": "http://127.0.0.1:9/"},
        ]
        with pytest.raises(InvalidRequest, match="no cycle"):
            client.plans.create(name="p", nodes=ring)


async def test_plans_on_the_command_line(shared_stack: DevStack, receiver: Receiver) -> None:
    nodes: list[dict[str, Any]] = [{"id": "a", "delay": "1h", "webhook": receiver.url}]
    made = json.loads(await minoots(shared_stack, "--json", "plans", "create", "cli", json.dumps(nodes)))
    more = [{"id": "b", "after": ["a"], "webhook": receiver.url}]
    assert "waiting" in await minoots(shared_stack, "plans", "add", made["id"], json.dumps(more))
    await minoots(shared_stack, "plans", "pause", made["id"])
    await minoots(shared_stack, "plans", "resume", made["id"])
    await minoots(shared_stack, "plans", "move", made["id"], "a", "--delay", "0")
    assert "settled" in await minoots(shared_stack, "plans", "wait", made["id"], "--timeout", "30s")
    assert "digraph" in await minoots(shared_stack, "plans", "graph", made["id"], "--dot")
    assert "2 succeeded" in await minoots(shared_stack, "plans", "list", "--name", "cli")
    await minoots(shared_stack, "plans", "cancel", made["id"], expect=4)
    await minoots(shared_stack, "plans", "create", "cli", "{}", expect=2)
    assert len(receiver.requests) == 2


async def test_escalations_by_the_sync_client(shared_stack: DevStack, receiver: Receiver) -> None:
    with Minoots(shared_stack.url) as client:
        people = client.escalations.people
        for name in ("ada", "bob"):
            people.save(name, name=name.title(), contacts=[{"url": receiver.url}])
        layer = {"participants": ["person:ada"], "start": "2026-01-01T00:00:00Z"}
        assert client.escalations.rotations.save("sdk", layers=[layer]).on_call == "person:ada"
        assert client.escalations.rotations.shifts("sdk")[0].who == "person:ada"
        client.escalations.policies.save("sdk", ladder={"rungs": [{"targets": ["rotation:sdk"]}]})
        escalation = client.escalations.create(name="e", policy="sdk", payload={"n": 1})
        client.escalations.hand_on(escalation.id, "person:bob", by="person:ada")
        done = client.escalations.acknowledge(escalation.id, by="person:bob", result={"ok": True})
        assert (done.state, done.acknowledged_by) == ("acknowledged", ("person:bob",))
        client.escalations.resolve(escalation.id)
        with pytest.raises(Conflict):
            client.escalations.snooze(escalation.id, "1h")
        assert {one.who for one in client.escalations.times()} >= {"person:ada", "person:bob"}
        client.heartbeats.save("sdk", name="h", every="1h", policy="sdk")
        assert client.heartbeats.beat("sdk").state == "alive"
        client.heartbeats.remove("sdk")
        with pytest.raises(NotFound):
            client.heartbeats.get("sdk")


async def test_escalations_on_the_command_line(shared_stack: DevStack, receiver: Receiver) -> None:
    contacts = json.dumps({"name": "Eve", "contacts": [{"url": receiver.url}]})
    await minoots(shared_stack, "people", "save", "eve", contacts)
    ladder = json.dumps({"rungs": [{"targets": ["person:eve"]}]})
    made = json.loads(
        await minoots(shared_stack, "--json", "escalations", "create", "cli", "--ladder", ladder)
    )
    await receiver.expect(1)
    acknowledged = await minoots(shared_stack, "escalations", "acknowledge", made["id"], "--by", "person:eve")
    assert "person:eve" in acknowledged
    assert "acknowledged" in await minoots(shared_stack, "escalations", "list")
    assert "P95" in await minoots(shared_stack, "escalations", "times")
    await minoots(shared_stack, "escalations", "resolve", made["id"], "--reason", "done")
    await minoots(shared_stack, "escalations", "resolve", made["id"], expect=4)
    await minoots(shared_stack, "people", "remove", "eve")
    await minoots(shared_stack, "people", "show", "eve", expect=3)


async def test_a_plan_is_drawn_on_lines_of_its_own(shared_stack: DevStack) -> None:
    nodes = [{"id": "a", "delay": "1h", "webhook": "http://127.0.0.1:9/"}]
    made = json.loads(await minoots(shared_stack, "--json", "plans", "create", "drawn", json.dumps(nodes)))
    lines = (await minoots(shared_stack, "plans", "graph", made["id"])).splitlines()
    assert lines[0] == "flowchart TD"
    await minoots(shared_stack, "plans", "cancel", made["id"])
