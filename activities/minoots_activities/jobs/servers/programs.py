"""A server that is a program in a sandbox: the official client speaks to it through the sandbox's pipes.

Owns lines of JSON in both directions, and the end of the program. What it writes is bounded by the sandbox;
what of it is no message is told like everything else that a program writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.shared.message import SessionMessage

from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import Output, Program, Ran, Sandbox, Stream

_GRACE: Final = 2.0
"""Seconds for a server to end by itself once nothing more is said to it."""
_TAIL: Final = 1000
_MOST_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of one message: what a model is told of is far less."""
_MOST_PARTS: Final = 400_000
"""Commas and brackets of one message: 28 MB of empty lists took 3 GB of a worker, and 18 s in which it heard
nothing else."""

_Coming: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
_Going: TypeAlias = MemoryObjectReceiveStream[SessionMessage]
_Streams: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]
_BOTH: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass
class Spoken:
    """What became of a server's program.

    Attributes:
        ran: how it ended; ``None`` while it runs, or when nobody knows.
        fault: why it was not started, or is gone.
        errors: the end of what it wrote beside its messages.
    """

    ran: Ran | None = None
    fault: Failure | None = None
    errors: bytearray = field(default_factory=bytearray)

    def last_words(self) -> str:
        """Return the end of what it wrote beside its messages, as one line."""
        said = self.errors.decode("utf-8", "replace")
        return " ".join("".join(one if one.isprintable() else " " for one in said).split())


@asynccontextmanager
async def spoken_with(
    sandbox: Sandbox, program: Program, spoken: Spoken, output: Output
) -> AsyncIterator[_Streams]:
    """Start a program and yield what it says and what is said to it, as the client wants them.

    At the end the program is given a moment to end by itself, and is killed if it does not.

    Args:
        sandbox: where it runs.
        program: what is started; its standard input is ours.
        spoken: what is filled with what becomes of it.
        output: who is given what it writes beside its messages.
    """
    coming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, going = anyio.create_memory_object_stream[SessionMessage](0)
    running = asyncio.create_task(_run(sandbox, program, spoken, output, coming, going))
    try:
        yield read, write
    finally:
        with anyio.CancelScope(shield=True):
            # First what it says, or it might wait for us to take it.
            read.close()
            write.close()
            await asyncio.wait({running}, timeout=_GRACE)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            coming.close()
            going.close()


async def _run(
    sandbox: Sandbox, program: Program, spoken: Spoken, output: Output, coming: _Coming, going: _Going
) -> None:
    lines = bytearray()

    async def beside(stream: Stream, data: bytes) -> None:
        spoken.errors += data
        del spoken.errors[:-_TAIL]
        await output(stream, data)

    async def hear(stream: Stream, data: bytes) -> None:
        if stream == "stderr":
            await beside(stream, data)
            return
        lines.extend(data)
        if b"\n" not in data:
            _require_small(lines)
            return
        *whole, rest = bytes(lines).split(b"\n")
        lines[:] = rest
        for line in whole:
            _require_small(line)
        for line in whole:
            await _take(line, coming, beside)

    asked = Program(program.command, env=program.env, source=_said(going), seconds=program.seconds)
    try:
        spoken.ran = await sandbox.exec(asked, hear)
    except Failure as failure:
        spoken.fault = failure
    finally:
        coming.close()


def _require_small(line: bytes | bytearray) -> None:
    """Refuse a message of which reading it would take much more than writing it did.

    Raises:
        Failure: too_large.
    """
    parts = sum(line.count(mark) for mark in (b",", b"[", b"{")) if len(line) > _MOST_PARTS else 0
    if len(line) > _MOST_MESSAGE or parts > _MOST_PARTS:
        raise Failure(
            FailureKind.TOO_LARGE,
            f"it said more in one message than is taken: {len(line)} bytes; {_MOST_MESSAGE} are, with "
            f"{_MOST_PARTS} commas and brackets",
            remedy="Have it answer in parts, or write into a file.",
        )


async def _take(line: bytes, coming: _Coming, beside: Output) -> None:
    """Hand on a message; what is none is told of as what a program has written."""
    try:
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        if line.strip():
            await beside("stdout", line + b"\n")
        return
    with suppress(*_BOTH):
        await coming.send(SessionMessage(message))


async def _said(going: _Going) -> AsyncIterator[bytes]:
    """Yield what is said to it, a line each."""
    with suppress(*_BOTH):
        async for one in going:
            yield (one.message.model_dump_json(by_alias=True, exclude_unset=True) + "\n").encode()
