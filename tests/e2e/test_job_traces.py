"""One trace over every process: from whoever asks, by gateway, Temporal and workers, to model and tool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from agents_at_work import call, script
from collectors import Span, collecting
from dev_stacks import DevStack
from model_servers import model_server

from minoots import AsyncMinoots, JobState
from minoots.contracts.sandboxes import Tier
from minoots_activities.sandboxes.tiers import Tiers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Start = Callable[..., DevStack]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def above(span: Span, spans: dict[str, Span]) -> list[str]:
    """The names of what a span is below, the nearest first."""
    names = []
    while span.parent in spans:
        span = spans[span.parent]
        names.append(span.name)
    return names


async def test_one_trace_leads_from_the_request_to_model_and_tool(dev_stack: Start, tmp_path: Path) -> None:
    lacks = await Tiers(vm_image=Path("none"))._given[Tier.BUBBLEWRAP].missing()
    if lacks:
        pytest.skip("; ".join(lacks))
    secret = "words-of-the-user"
    answers = script(
        [call("read_file", path="none.txt"), call("run", command=f"echo {secret}")],
        call("sleep", seconds=0.1),
        "done",
    )
    with collecting() as collector:
        async with model_server(turns=answers) as url:
            (tmp_path / "minoots.toml").write_text(
                f'[models]\nproviders = ["ollama={url}"]\n[telemetry]\notlp_endpoint = "{collector.url}"\n'
            )
            stack = await asyncio.to_thread(dev_stack)
            async with httpx.AsyncClient(base_url=stack.url, timeout=90) as http:
                asked = await http.post(
                    "/v1/jobs",
                    json={"kind": "agent", "task": secret},
                    headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
                )
                job_id = asked.raise_for_status().json()["id"]
            async with AsyncMinoots(stack.url) as client:
                done = await client.jobs.wait(job_id, timeout=120)
            assert done.state is JobState.SUCCEEDED, done
            assert await asyncio.to_thread(stack.stop) == 0
    spans = {span.id: span for span in collector.spans() if span.trace == TRACE}
    found: dict[str, list[Span]] = {}
    for span in spans.values():
        found.setdefault(span.name, []).append(span)
    [asking] = found["POST /v1/jobs"]
    assert (asking.process, asking.parent) == ("gateway", "b7ad6b7169203331")
    # Each of these is below all that are named, in this order, in another process than the gateway.
    work = [
        ("RunWorkflow:AgentJob", 1, []),
        ("chat fake:latest", 3, ["RunActivity:jobs.think"]),
        ("execute_tool read_file", 1, ["RunActivity:jobs.act"]),
        ("execute_tool run", 1, ["RunActivity:jobs.act"]),
        ("execute_tool sleep", 1, ["RunActivity:jobs.act"]),
        ("minoots.sandbox.start", 1, ["execute_tool run", "RunActivity:jobs.act"]),
        ("minoots.sandbox.run", 1, ["execute_tool run", "RunActivity:jobs.act"]),
    ]
    for name, times, below in work:
        # More of them where a worker that had no time was taken for dead.
        assert len(found.get(name, [])) >= times, sorted(found)
        for span in found[name]:
            assert span.process == "worker"
            path = above(span, spans)
            assert [one for one in path if one in below] == below, path
            assert path[-1] == "POST /v1/jobs"
    for name in ("chat fake:latest", "execute_tool run", "execute_tool sleep"):
        for span in found[name]:
            assert span.attributes["gen_ai.conversation.id"] == job_id
    run, chat = found["execute_tool run"][0], found["chat fake:latest"][0]
    assert run.attributes["gen_ai.operation.name"] == "execute_tool"
    assert (run.attributes["gen_ai.tool.name"], run.attributes["gen_ai.tool.call.id"]) == ("run", "call_2")
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "ollama"
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    reading = found["execute_tool read_file"][0]
    assert (reading.failed, reading.attributes["error.type"]) == (True, "not_found")
    everything = b"".join(body for bodies in collector.bodies.values() for body in bodies)
    assert secret.encode() not in everything, "no word of what was said or run is sent"
    assert {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
        "minoots.jobs.queue_wait",
        "minoots.sandboxes.run",
        "minoots.sandboxes.start",
    } <= collector.metrics()
