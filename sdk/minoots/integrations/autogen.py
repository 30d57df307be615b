"""AutoGen: tools for its agents, and commands fed to an agent or a team.

::

    from minoots import AsyncMinoots
    from minoots.integrations import autogen

    async with AsyncMinoots() as client:
        agent = AssistantAgent("builder", model_client, tools=autogen.tools(client, agent="builder"))
        await autogen.run(client, "builder", agent)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

try:
    from autogen_agentchat.base import TaskResult, TaskRunner
    from autogen_core import CancellationToken
    from autogen_core.tools import BaseTool
except ModuleNotFoundError as error:
    raise ModuleNotFoundError('AutoGen is missing; pip install "minoots[autogen]"') from error

from minoots.async_client import AsyncMinoots
from minoots.inbox import Received
from minoots.operations.timers import Length

from .feeding import OnError, feed, text_of
from .toolbox import ToolSpec, toolbox

__all__ = ["run", "tools"]


def tools(client: AsyncMinoots, *, agent: str) -> list[BaseTool[Any, Any]]:
    """Return ``set_timer``, ``wait`` and ``acknowledge`` for an agent that answers to the inbox ``agent``.

    What the service refuses is raised, which AutoGen tells the model.
    """
    return [_Tool(spec) for spec in toolbox(client, agent=agent)]


async def run(
    client: AsyncMinoots,
    agent: str,
    runner: TaskRunner,
    *,
    lease: Length = "60s",
    to_task: Callable[[Received], Any] = text_of,
    to_result: Callable[[TaskResult], Any] | None = None,
    on_error: OnError = "decline",
    limit: int | None = None,
) -> None:
    """Feed the commands of an inbox to ``runner`` until cancelled.

    Args:
        client: of the service.
        agent: whose inbox it is; register it first.
        runner: an agent or a team. Each message of it is told as progress. It keeps what it remembers from
            one command to the next.
        lease: how long a command is its own without a sign of life; it is renewed by itself.
        to_task: what it is given for a command; by default its name and payload as text.
        to_result: what the command is acknowledged with; by default the last message.
        on_error: what becomes of a command when it raises.
        limit: return after so many.
    """

    async def work(received: Received) -> Any:
        token = CancellationToken()
        try:
            made = None
            async for one in runner.run_stream(task=to_task(received), cancellation_token=token):
                if isinstance(one, TaskResult):
                    made = one
                else:
                    await received.progress({"source": one.source, "type": type(one).__name__})
        except asyncio.CancelledError:
            token.cancel()
            raise
        if made is None:
            raise RuntimeError("the runner ended without a result")
        return (to_result or _last)(made)

    await feed(client, agent, work, lease=lease, on_error=on_error, limit=limit)


def _last(made: TaskResult) -> dict[str, Any]:
    text = made.messages[-1].to_text() if made.messages else None
    return {"text": text, "stop_reason": made.stop_reason}


class _Tool(BaseTool[BaseModel, dict[str, Any]]):
    def __init__(self, spec: ToolSpec) -> None:
        super().__init__(spec.arguments, dict[str, Any], spec.name, spec.description)
        self._spec = spec

    async def run(self, args: BaseModel, cancellation_token: CancellationToken) -> dict[str, Any]:
        doing = asyncio.ensure_future(self._spec.call(args))
        cancellation_token.link_future(doing)
        return await doing
