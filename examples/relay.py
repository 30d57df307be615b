"""A relay of agents: a plan wakes two of them, one does not answer, a ladder goes up until a person does.

Run it beside ``minoots dev``. The builder does its part and hands on what it built. The reviewer is asleep: a
second after it was told, the ladder tells the builder, who declines, and then Ada, whose webhook gets a link.
Her answer stops the ladder and settles the plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from minoots import AsyncMinoots, Plan


class Ada(BaseHTTPRequestHandler):
    """A person with a webhook: she opens the link in it and presses the button."""

    def do_POST(self) -> None:
        """Take a notice."""
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()
        print(f"Ada is told of {event['data']['payload']['escalation']['name']!r}; she opens the link")
        link = event["data"]["acknowledge_url"]
        assert "Acknowledge" in httpx.get(link).text
        assert "Thank you" in httpx.post(link).text

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


async def build(client: AsyncMinoots) -> None:
    """Do what the plan asks for, and decline what is for others."""
    async for command in client.agents.inbox("builder"):
        if command.name == "build":
            print(f"the builder builds {command.payload['branch']}")
            await command.acknowledge({"artifact": "wheel-7"})
        else:
            print(f"the builder declines {command.name!r}")
            await command.decline("I cannot review my own work")


async def relay(client: AsyncMinoots, webhook: str) -> Plan:
    """Set everything up, and return the plan when it has ended."""
    for agent in ("builder", "reviewer"):
        await client.agents.register(agent)
    await client.escalations.people.save("ada", name="Ada", contacts=[{"url": webhook}])
    ladder = {"rungs": [{"targets": ["agent:builder"]}, {"after": "60s", "targets": ["person:ada"]}]}
    plan = await client.plans.create(
        name="release",
        payload={"branch": "main"},
        nodes=[
            {
                "id": "build",
                "name": "build",
                "actions": [{"kind": "agent", "agent": "builder"}],
                "payload": {"branch": {"$cel": "payload.branch"}},
                "acknowledge": {"within": "30s", "by": ["agent:builder"]},
            },
            {
                "id": "review",
                "name": "review",
                "after": ["build"],
                "actions": [{"kind": "agent", "agent": "reviewer"}],
                "payload": {"artifact": {"$cel": "nodes.build.acknowledged.result.artifact"}},
                "acknowledge": {"within": "1s", "ladder": ladder},
            },
        ],
    )
    return await client.plans.wait(plan.id, timeout=60)


async def main() -> None:
    """Play it through."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ada)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    async with AsyncMinoots() as client:
        builder = asyncio.create_task(build(client))
        plan = await relay(client, f"http://127.0.0.1:{server.server_port}/")
        builder.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await builder
    server.shutdown()
    for node in plan.nodes:
        print(f"{node.id}: {node.state}, acknowledged by {node.result['acknowledged']['by']}")
    assert plan.state == "settled", plan.state


if __name__ == "__main__":
    asyncio.run(main())
