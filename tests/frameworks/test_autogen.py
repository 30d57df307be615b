"""AutoGen: its real packages, a real service, a model that follows a script."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult, ModelInfo, RequestUsage
from conftest import Builder

from minoots import AsyncMinoots
from minoots.contracts.agents import CommandState
from minoots.integrations import autogen

NOTHING = RequestUsage(prompt_tokens=0, completion_tokens=0)


class Script(ChatCompletionClient):
    """A model that says what the test has written down for it."""

    def __init__(self, *lines: str | tuple[str, dict[str, Any]]) -> None:
        self.lines = list(lines)
        self.heard: list[str] = []

    async def create(self, messages: Sequence[Any], **options: Any) -> CreateResult:
        self.heard.append(str(messages[-1].content))
        line = self.lines.pop(0)
        if isinstance(line, str):
            return CreateResult(finish_reason="stop", content=line, usage=NOTHING, cached=False)
        name, arguments = line
        calls = [FunctionCall(id="1", name=name, arguments=json.dumps(arguments))]
        return CreateResult(finish_reason="function_calls", content=calls, usage=NOTHING, cached=False)

    async def create_stream(self, messages: Sequence[Any], **options: Any) -> AsyncGenerator[Any]:
        yield await self.create(messages, **options)

    async def close(self) -> None: ...

    def actual_usage(self) -> RequestUsage:
        return NOTHING

    def total_usage(self) -> RequestUsage:
        return NOTHING

    def count_tokens(self, messages: Sequence[Any], **options: Any) -> int:
        return 0

    def remaining_tokens(self, messages: Sequence[Any], **options: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False, function_calling=True, json_output=False, family="script", structured_output=False
        )


def agent_of(script: Script, tools: list[Any] | None = None, name: str = "builder") -> AssistantAgent:
    return AssistantAgent(name, script, tools=tools, reflect_on_tool_use=True if tools else None)


async def test_the_tools_are_those_of_the_framework(client: AsyncMinoots) -> None:
    tools = autogen.tools(client, agent="builder")
    assert [one.name for one in tools] == ["set_timer", "wait", "acknowledge"]
    for one in tools:
        assert one.schema["parameters"]["properties"]


async def test_a_tool_is_run_with_json(client: AsyncMinoots, builder: Builder) -> None:
    set_timer, wait, acknowledge = autogen.tools(client, agent=builder.name)
    made = await set_timer.run_json({"name": "look again", "after": "0.1s"}, CancellationToken())
    waited = await wait.run_json({"timer_id": made["timer_id"]}, CancellationToken())
    assert waited["state"] == "settled"
    ladder = {"rungs": [{"targets": [f"agent:{builder.name}"]}]}
    raised = await client.escalations.create(name="disk full", ladder=ladder)
    done = await acknowledge.run_json({"id": raised.id}, CancellationToken())
    assert done["state"] == "acknowledged"


async def test_an_agent_sets_a_timer_and_is_called_again_by_it(
    client: AsyncMinoots, builder: Builder
) -> None:
    script = Script(("set_timer", {"name": "look again", "after": "0.3s"}), "I shall.", "It is done.")
    agent = agent_of(script, autogen.tools(client, agent=builder.name))
    command = await builder.send("bake a cake")
    await autogen.run(client, builder.name, agent, limit=2)
    done = await builder.now(command)
    assert (done.state, done.result["text"]) == (CommandState.ACKNOWLEDGED, "I shall.")
    assert done.progress["source"] == "builder"
    assert script.heard[0] == "bake a cake"
    assert script.heard[-1] == "look again"


async def test_what_the_service_refuses_is_told_to_the_model(client: AsyncMinoots, builder: Builder) -> None:
    script = Script(("set_timer", {"name": "x"}), "I see.")
    await builder.send("bake a cake")
    agent = agent_of(script, autogen.tools(client, agent=builder.name))
    await autogen.run(client, builder.name, agent, limit=1)
    assert "give exactly one of fire_at, after and schedule" in script.heard[1]


async def test_a_team_works_on_a_command(client: AsyncMinoots, builder: Builder) -> None:
    team = RoundRobinGroupChat(
        [agent_of(Script("I mix."), name="mixer"), agent_of(Script("I bake."), name="baker")],
        termination_condition=MaxMessageTermination(3),
    )
    command = await builder.send("bake a cake")
    await autogen.run(client, builder.name, team, limit=1)
    assert (await builder.now(command)).result["text"] == "I bake."


@pytest.mark.parametrize(("on_error", "state"), [("decline", "declined"), ("give_back", "queued")])
async def test_a_command_whose_work_raises_is_declined_or_comes_again(
    client: AsyncMinoots, builder: Builder, on_error: Any, state: str
) -> None:
    command = await builder.send("bake a cake")
    await autogen.run(client, builder.name, agent_of(Script()), on_error=on_error, limit=1)
    assert (await builder.now(command)).state == state
