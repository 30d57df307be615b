"""What an agent begins with: its files, and what it is told before it is asked anything."""

from __future__ import annotations

from typing import Final, cast

from minoots.contracts import AgentJob, Message, Role
from minoots_platform.clock import Clock
from minoots_platform.records import Database, agent_runs, contents
from minoots_platform.records.agent_runs import Step

from .files import Files

SYSTEM: Final = (
    "You work on a task by yourself, with the tools that you are given, in a working folder of your own. "
    "Look before you change something, make small changes, and check them. A command runs in a sandbox: of "
    "what it leaves, the files of the working folder last, and nothing else does. When you are done, or "
    "cannot go on, answer without calling a tool: say what you did and what is left."
)


async def prepared(database: Database, step: Step, clock: Clock) -> Step | None:
    """Keep what the agent begins with; return the step with it, ``None`` when that is not its to do any more.

    Raises:
        Failure: not_found, for a content that is gone; too_large, where the files have no room.
    """
    if step.run.tree is not None:
        return step
    job = cast(AgentJob, step.begun.request)
    files = Files(database, step.run.tenant, {}, job.limits.disk_mb * 1024 * 1024, clock())
    for file in job.files:
        if file.artifact is None:
            data = (file.text or "").encode()
        else:
            data = await contents.read(database, step.run.tenant, file.artifact)
        await files.write(file.path, data, executable=file.executable)
    tree = await files.keep_listing()
    messages = (
        Message(role=Role.SYSTEM, text=SYSTEM if job.system is None else job.system),
        Message(role=Role.USER, text=job.task),
    )
    async with database.write() as connection:
        return await agent_runs.prepare(connection, step, messages, tree, tuple(files.added), clock())
