"""LangChain and LangGraph: tools for their agents, and commands fed to any runnable.

::

    from minoots import AsyncMinoots
    from minoots.integrations import langchain

    async with AsyncMinoots() as client:
        agent = create_react_agent(model, langchain.tools(client, agent="builder"))
        await langchain.run(client, "builder", agent)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

try:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool, StructuredTool, ToolException
except ModuleNotFoundError as error:
    raise ModuleNotFoundError('LangChain is missing; pip install "minoots[langchain]"') from error

from minoots.async_client import AsyncMinoots
from minoots.errors import MinootsError
from minoots.inbox import Received
from minoots.operations.timers import Length

from .feeding import OnError, feed, text_of
from .toolbox import ToolSpec, toolbox

__all__ = ["run", "tools"]


def tools(client: AsyncMinoots, *, agent: str) -> list[BaseTool]:
    """Return ``set_timer``, ``wait`` and ``acknowledge`` for an agent that answers to the inbox ``agent``.

    They are asynchronous: invoke with ``ainvoke``. What the service refuses is told to the model.
    """
    return [_tool(spec) for spec in toolbox(client, agent=agent)]


async def run(
    client: AsyncMinoots,
    agent: str,
    runnable: Runnable[Any, Any],
    *,
    lease: Length = "60s",
    to_input: Callable[[Received], Any] | None = None,
    to_result: Callable[[Any], Any] | None = None,
    on_error: OnError = "decline",
    limit: int | None = None,
) -> None:
    """Feed the commands of an inbox to ``runnable`` until cancelled.

    Args:
        client: of the service.
        agent: whose inbox it is; register it first.
        runnable: a chain, a LangGraph graph, an agent. Of a graph the steps are told as progress. It is
            given the command's id as ``thread_id``, so that a graph with a checkpointer keeps each apart.
        lease: how long a command is its own without a sign of life; it is renewed by itself.
        to_input: what it is given for a command; by default its name and payload: as a message to a graph
            whose state has ``messages``, else as text.
        to_result: what the command is acknowledged with, from what came out; by default the last text.
        on_error: what becomes of a command when it raises.
        limit: return after so many.
    """

    async def work(received: Received) -> Any:
        given = (to_input or _input_for(runnable))(received)
        config: Any = {
            "configurable": {"thread_id": received.id},
            "metadata": {"minoots_command": received.id},
        }
        made = await _invoke(runnable, given, config, received)
        return (to_result or _result_of)(made)

    await feed(client, agent, work, lease=lease, on_error=on_error, limit=limit)


async def _invoke(runnable: Runnable[Any, Any], given: Any, config: Any, received: Received) -> Any:
    if not hasattr(runnable, "stream_channels"):
        return await runnable.ainvoke(given, config)
    # A graph of LangGraph: what each step did, and the state after it.
    made: Any = None
    async for mode, part in runnable.astream(given, config, stream_mode=["updates", "values"]):
        if mode == "values":
            made = part
        else:
            await received.progress({"steps": sorted(part)})
    return made


def _input_for(runnable: Runnable[Any, Any]) -> Callable[[Received], Any]:
    if "messages" in getattr(runnable, "channels", ()):
        return lambda received: {"messages": [("user", text_of(received))]}
    return text_of


def _result_of(made: Any) -> Any:
    if isinstance(made, dict) and made.get("messages"):
        made = made["messages"][-1]
    if isinstance(made, BaseMessage):
        return {"text": made.text if isinstance(made.text, str) else str(made.content)}
    return made if made is None or isinstance(made, str | int | float | bool | list | dict) else str(made)


def _tool(spec: ToolSpec) -> StructuredTool:
    async def call(**arguments: Any) -> dict[str, Any]:
        return await _told(spec.call(spec.arguments(**arguments)))

    return StructuredTool.from_function(
        coroutine=call,
        name=spec.name,
        description=spec.description,
        args_schema=spec.arguments,
        handle_tool_error=True,
    )


async def _told(doing: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        return await doing
    except MinootsError as error:
        raise ToolException(str(error)) from error
