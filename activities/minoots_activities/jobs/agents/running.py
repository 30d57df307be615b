"""The tool `run`: a command in a sandbox that has the files of the agent, and they as it left them.

Each command gets a sandbox of its own, filled from the records: what a command leaves is the files of its
working folder and nothing else, so that it makes no difference whether a worker has died in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from minoots.contracts import AgentJob
from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Heard
from minoots_activities.jobs.reaching import heard_by
from minoots_activities.jobs.sandboxing import filled, until_begun
from minoots_activities.jobs.telling import Teller
from minoots_activities.sandboxes.port import (
    Ended,
    OutcomeUnknown,
    Program,
    Ran,
    Sandbox,
    Stream,
    nameable,
)
from minoots_activities.sandboxes.tiers import Tiers
from minoots_platform.records.agent_runs import Step

from .arguments import Run
from .files import Files
from .trees import MOST_FILES, Entry

_HEAD: Final = 6 * 1024
_TAIL: Final = 18 * 1024
"""Bytes of what was written that the model is told: the beginning and the end."""

ENVIRONMENT: Final = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Python takes its bytecode for that of a source of the same size and second, and an agent edits in less: the
next command would run what it has just mended."""

Hear = Callable[[Stream, bytes], Awaitable[None]]


@dataclass(frozen=True)
class Where:
    """Where a command runs.

    Attributes:
        name: of the sandbox.
        request: the job, which says what sandbox it is to be.
        seconds: how long the command may run.
        heard: who is told of every host that it wants to reach.
        tenant: whose job it is.
        waited: how long it has waited before, with a worker that has died.
    """

    name: str
    request: AgentJob
    seconds: float
    heard: Heard
    tenant: str
    waited: timedelta = timedelta(0)


def where_of(step: Step, seconds: float, teller: Teller, now: datetime) -> Where:
    """Return where something of a step runs, for so many seconds unless the job ends before."""
    begun = step.begun
    left = (begun.deadline - now).total_seconds()
    name = f"{begun.job_id}-{begun.attempt}-{step.number}"
    job = cast(AgentJob, begun.request)
    waited = timedelta(0)
    if step.again and step.call is not None:
        waited = max(waited, now - step.call.created_at)
    heard = heard_by(begun, teller)
    return Where(name, job, max(0.01, min(seconds, left)), heard, begun.tenant, waited)


class Commands:
    """Commands of agents on this machine.

    Args:
        tiers: what gives sandboxes.
        most_file: bytes of the largest file that is kept.
        most_bytes: of all files together.
    """

    def __init__(self, tiers: Tiers, most_file: int, most_bytes: int) -> None:
        self._tiers = tiers
        self._most_file = most_file
        self._most_bytes = most_bytes

    async def run(self, where: Where, files: Files, wanted: Run, hear: Hear) -> str:
        """Run a command; the files are those that it leaves. Return what the model is told.

        Raises:
            NeverStarted: there is no sandbox to run it in.
        """
        written = bytearray()

        async def listen(stream: Stream, data: bytes) -> None:
            written.extend(data)
            await hear(stream, data)

        program = Program(
            ("sh", "-c", wanted.command),
            env=ENVIRONMENT,
            stdin=wanted.stdin.encode(),
            seconds=where.seconds,
        )

        async def once() -> Ran:
            async with self._with_files(where, files) as sandbox:
                try:
                    with self._tiers.watching.running(sandbox.tier) as ended:
                        ran = await sandbox.exec(program, listen)
                        ended(ran)
                except OutcomeUnknown as unknown:
                    raise Failure(
                        FailureKind.UNAVAILABLE, f"{unknown.detail}; the files are as they were before"
                    ) from unknown
                await self.take_over(sandbox, files)
                return ran

        async with self._room(where):
            ran = await until_begun(once)
        return f"{how(ran, where)}\n{_shortened(bytes(written))}".rstrip()

    @asynccontextmanager
    async def opened(self, where: Where, files: Files) -> AsyncIterator[Sandbox]:
        """Yield a sandbox that has the files; nothing of it is left afterwards.

        Raises:
            NeverStarted: there is none to be had.
        """
        async with self._room(where), self._with_files(where, files) as sandbox:
            yield sandbox

    def _room(self, where: Where) -> AbstractAsyncContextManager[None]:
        job = where.request
        return self._tiers.hold(
            job.tier, where.name, job.limits, job.priority, waited=where.waited, whose=where.tenant
        )

    def _with_files(self, where: Where, files: Files) -> AbstractAsyncContextManager[Sandbox]:
        return filled(self._tiers, where.request, where.name, where.heard, lambda one: self._fill(one, files))

    async def _fill(self, sandbox: Sandbox, files: Files) -> None:
        paths = sorted(files.tree)
        for begin in range(0, len(paths), 100):
            some = await files.read_all(paths[begin : begin + 100])
            for path, data in some.items():
                await sandbox.put(path, data, executable=files.tree[path].executable)

    async def take_over(self, sandbox: Sandbox, files: Files) -> None:
        """Keep the files that are in a sandbox now.

        Raises:
            Failure: too_large; the files are as they were before.
        """
        listing = await sandbox.list(MOST_FILES)
        if listing.cut:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"the command left more than {MOST_FILES} files; they are as they were before",
            )
        size = sum(file.bytes for file in listing.files)
        largest = max((file.bytes for file in listing.files), default=0)
        if size > self._most_bytes or largest > self._most_file:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"the command left {size} bytes in files, the largest of {largest}; {self._most_bytes} and "
                f"{self._most_file} are kept at most, and the files are as they were before",
            )
        tree: dict[str, Entry] = {}
        taken = 0
        for file in listing.files:
            if nameable(file.path):
                data = await sandbox.get(file.path, self._most_file)
                taken += len(data)
                if taken > self._most_bytes:
                    # Larger than the sandbox said: nothing that it says of the others counts, either.
                    raise Failure(
                        FailureKind.TOO_LARGE,
                        f"the command left more than {self._most_bytes} bytes in files; they are as they "
                        "were before",
                    )
                tree[file.path] = Entry(await files.keep(data), len(data), file.executable)
        files.tree = tree


def how(ran: Ran, where: Where) -> str:
    """Return how a program ended, in words."""
    limits = where.request.limits
    if ran.ended is Ended.EXITED:
        return f"exit code {ran.exit_code}"
    return {
        Ended.KILLED: f"ended by signal {ran.signal}",
        Ended.TIMED_OUT: f"killed: it ran longer than {where.seconds:g} s",
        Ended.OUT_OF_MEMORY: f"killed: it took more than {limits.memory_mb} MB of memory",
        Ended.TOO_MUCH_OUTPUT: f"killed: it wrote more than {limits.output_kb} kB",
    }[ran.ended]


def _shortened(written: bytes) -> str:
    left_out = len(written) - _HEAD - _TAIL
    if left_out <= 0:
        return written.decode("utf-8", "replace")
    head, tail = written[:_HEAD].decode("utf-8", "replace"), written[-_TAIL:].decode("utf-8", "replace")
    return f"{head}\n({left_out} bytes left out)\n{tail}"
