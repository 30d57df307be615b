"""LangChain and LangGraph: their real packages, a real service, a model that follows a script."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, TypedDict

import pytest
from conftest import Builder
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import Field

from minoots import AsyncMinoots
from minoots.contracts.agents import CommandState
from minoots.integrations import langchain


class Script(BaseChatModel):
    """A model that says what the test has written down for it."""

    lines: list[AIMessage]
    heard: list[list[str]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Any, **options: Any) -> Script:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        self.heard.append([str(one.content) for one in messages])
        return ChatResult(generations=[ChatGeneration(message=self.lines.pop(0))])


def calling(tool: str, **arguments: Any) -> AIMessage:
    """The model calls a tool."""
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": "call-1"}])


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


def graph_of(model: Script, tools: list[Any]) -> Any:
    """A graph of LangGraph: the model, and its tools."""
    graph = StateGraph(State)

    async def think(state: State) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "think")
    return graph.compile(checkpointer=InMemorySaver())


def named(tools: list[Any], name: str) -> Any:
    """The tool of a name."""
    return next(one for one in tools if one.name == name)


async def test_the_tools_are_those_of_the_framework(client: AsyncMinoots) -> None:
    tools = langchain.tools(client, agent="builder")
    assert [one.name for one in tools] == ["set_timer", "wait", "acknowledge"]
    for one in tools:
        assert one.description
        assert all("description" in field for field in one.args.values())


async def test_a_timer_that_is_set_comes_back_to_the_inbox(client: AsyncMinoots, builder: Builder) -> None:
    tools = langchain.tools(client, agent=builder.name)
    made = await named(tools, "set_timer").ainvoke(
        {"name": "look again", "after": "0.2s", "note": "the oven"}
    )
    assert made["state"] in ("scheduled", "armed")
    waited = await named(tools, "wait").ainvoke({"timer_id": made["timer_id"]})
    assert waited["state"] == "settled"
    seen: list[str] = []
    await langchain.run(client, builder.name, RunnableLambda(seen.append), limit=1)
    assert seen == ["look again\n\nthe oven"]


async def test_a_wait_ends_and_says_why(client: AsyncMinoots, builder: Builder) -> None:
    wait = named(langchain.tools(client, agent=builder.name), "wait")
    assert (await wait.ainvoke({"length": "0.1s"}))["woken"] == "slept"


async def test_what_the_service_refuses_is_told_to_the_model(client: AsyncMinoots, builder: Builder) -> None:
    tools = langchain.tools(client, agent=builder.name)
    told = await named(tools, "set_timer").ainvoke({"name": "x"})
    assert "give exactly one of fire_at, after and schedule" in told
    told = await named(tools, "acknowledge").ainvoke({"id": "esc_01MG0FCDG0JFM7ZK3VRZTCAHHD"})
    assert "404 not_found" in told


async def test_an_escalation_is_acknowledged(client: AsyncMinoots, builder: Builder) -> None:
    ladder = {"rungs": [{"targets": [f"agent:{builder.name}"]}]}
    raised = await client.escalations.create(name="disk full", ladder=ladder)
    acknowledge = named(langchain.tools(client, agent=builder.name), "acknowledge")
    done = await acknowledge.ainvoke({"id": raised.id, "note": "cleaning"})
    assert done["state"] == "acknowledged"


async def test_a_command_is_done_and_its_result_kept(client: AsyncMinoots, builder: Builder) -> None:
    command = await builder.send("double", payload=21)

    async def double(task: str) -> dict[str, int]:
        return {"n": 2 * int(task.splitlines()[-1])}

    await langchain.run(client, builder.name, RunnableLambda(double), limit=1)
    done = await builder.now(command)
    assert (done.state, done.result) == (CommandState.ACKNOWLEDGED, {"n": 42})


async def test_a_graph_sets_a_timer_and_is_called_again_by_it(client: AsyncMinoots, builder: Builder) -> None:
    model = Script(
        lines=[
            calling("set_timer", name="look again", after="0.3s"),
            AIMessage("I shall look again."),
            AIMessage("It is done."),
        ]
    )
    graph = graph_of(model, langchain.tools(client, agent=builder.name))
    command = await builder.send("bake a cake")
    await langchain.run(client, builder.name, graph, limit=2)
    done = await builder.now(command)
    assert done.result == {"text": "I shall look again."}
    assert done.progress == {"steps": ["think"]}
    assert [one[0] for one in model.heard] == ["bake a cake", "bake a cake", "look again"]
    assert len(model.heard[2]) == 1, "each command has a thread of its own"


@pytest.mark.parametrize(("on_error", "state"), [("decline", "declined"), ("give_back", "queued")])
async def test_a_command_whose_work_raises_is_declined_or_comes_again(
    client: AsyncMinoots, builder: Builder, on_error: Any, state: str
) -> None:
    command = await builder.send("fail")

    async def fail(task: str) -> None:
        raise ValueError("no flour")

    await langchain.run(client, builder.name, RunnableLambda(fail), on_error=on_error, limit=1)
    after = await builder.now(command)
    assert after.state == state
    if state == "declined":
        assert after.reason == "ValueError: no flour"


async def test_a_runner_that_is_stopped_gives_its_command_back(
    client: AsyncMinoots, builder: Builder
) -> None:
    command = await builder.send("slow")
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(task: str) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    running = asyncio.create_task(langchain.run(client, builder.name, RunnableLambda(slow)))
    await asyncio.wait_for(begun.wait(), 20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ended.is_set()
    assert (await builder.now(command)).state is CommandState.QUEUED


async def test_work_on_a_command_that_somebody_else_has_is_stopped(
    client: AsyncMinoots, builder: Builder
) -> None:
    lost = await builder.send("first")
    kept = await builder.send("second")
    stopped: list[str] = []

    async def work(task: str) -> str:
        if task == "first":
            # Somebody with the same key closes it meanwhile; the next renewal finds out.
            [mine] = [one for one in asyncio.all_tasks() if one.get_name() == f"lease of {lost.id}"]
            assert mine
            taken = held[-1].command
            await client.agents.decline(taken, "not wanted any more")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                stopped.append(task)
                raise
        return task

    held: list[Any] = []

    def note(received: Any) -> str:
        held.append(received)
        return str(received.name)

    await langchain.run(client, builder.name, RunnableLambda(work), to_input=note, lease="1s", limit=1)
    assert stopped == ["first"]
    assert (await builder.now(lost)).state is CommandState.DECLINED
    assert (await builder.now(kept)).state is CommandState.ACKNOWLEDGED
