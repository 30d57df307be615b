"""A sandbox with a guest in it: what is the same for every tier that runs `guest` inside.

Owns programs, files and the end of a sandbox. How the guest was shut in is the business of who started it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Gate, environment
from minoots_platform.telemetry import get_logger

from .cgroups import Group
from .channel import Channel
from .port import (
    Ended,
    File,
    Listing,
    OutcomeUnknown,
    Output,
    Program,
    Ran,
    Stream,
    ended_before,
    gone,
    nameable,
    never_started,
    not_started,
)
from .snapshots import WithSnapshots
from .starting import gone_within
from .streams import GRACE, Moving, Reader, feed, finished

T = TypeVar("T")

_MEGABYTE: Final = 1024 * 1024
_BUSY: Final = 5.0
"""Seconds that a guest has to end a program whose time is over, on a machine that has no time for it."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ENTRIES_A_LINE: Final = 200
"""As the guest divides a listing."""
_BY_ITSELF: Final = 2.0
"""Seconds in which everything ends when its guest's socket does."""
_KILLED: Final = 5.0
"""Seconds in which what was killed is gone."""
_MOST_COUNTED: Final = 2**50
"""Of bytes, kilobytes and seconds that a guest may tell of: all of it can be kept as a number."""


class GuestedSandbox(WithSnapshots):
    """One sandbox, from when its guest has answered.

    Args:
        tier: which it is of.
        limits: what its programs may take.
        held_by: what holds each limit.
        rlimits: limits of each process, by their names in `resource`.
        process: what was started for it; it ends when the socket does.
        channel: the way to its guest.
        group: its control group, where there is one.
        env: what every program of it finds in its environment.
        after: what is to be tidied up when it has ended.
        kill: what ends it when it does not end by itself; by default, to kill that process.
    """

    def __init__(
        self,
        tier: Tier,
        limits: Limits,
        held_by: Mapping[str, str],
        rlimits: Mapping[str, int],
        process: asyncio.subprocess.Process,
        channel: Channel,
        group: Group | None,
        env: Mapping[str, str],
        after: Callable[[], Awaitable[None]] | None = None,
        kill: Callable[[], None] | None = None,
    ) -> None:
        self.tier = tier
        self.limits = limits
        self.held_by = held_by
        self._rlimits = dict(rlimits)
        self._process = process
        self._channel = channel
        self._group = group
        self._env = dict(env)
        self._after = after
        self._kill_all = kill or process.kill
        self._gate: Gate | None = None

    async def exec(self, program: Program, output: Output) -> Ran:
        """Run a program to its end."""
        stdin, feeding = os.pipe()
        pipes: dict[Stream, tuple[int, int]] = {"stdout": os.pipe(), "stderr": os.pipe()}
        theirs = [stdin, *(writing for _, writing in pipes.values())]
        ours = [feeding, *(reading for reading, _ in pipes.values())]
        try:
            request = {
                "do": "exec",
                "command": list(program.command),
                "env": {**self._env, **program.env},
                "rlimits": self._rlimits,
            }
            try:
                asked = self._channel.open(request, theirs)
            except OutcomeUnknown as unknown:
                raise ended_before() from unknown
            began = time.monotonic()
            try:
                answer = await asked.next(GRACE)
            except OutcomeUnknown as unknown:
                if asked.was_read:
                    raise
                raise ended_before() from unknown
            if "errno" in answer:
                raise not_started(program.command[0], answer["errno"], _said(answer))
        except BaseException:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        reader = Reader(output, self.limits.output_kb * 1024)
        moving = [
            asyncio.create_task(feed(feeding, program.stdin, program.source)),
            *(asyncio.create_task(reader.read(name, reading)) for name, (reading, _) in pipes.items()),
        ]
        killed_before = self._group.killed_for_memory() if self._group else 0
        ending = asyncio.create_task(asked.next())
        try:
            seconds = program.seconds or self.limits.time.total_seconds()
            why = await self._until(ending, reader, moving, seconds)
            answer = await self._ended(ending) if why is None else await self._kill(ending)
            wall_ms = (time.monotonic() - began) * 1000
            if why is None and self._group and self._group.killed_for_memory() > killed_before:
                why = Ended.OUT_OF_MEMORY
            if program.source is not None:
                # Nobody reads any more, and who writes may not know it yet.
                moving[0].cancel()
            await finished(moving)
        except BaseException:
            if not self._channel.ended.is_set() and not ending.done():
                await asyncio.shield(self._end_programs())
            raise
        finally:
            asked.close()
            for task in (*moving, ending):
                task.cancel()
            await asyncio.gather(*moving, ending, return_exceptions=True)
        return _ran(answer, why, wall_ms)

    async def put(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Write a file below the working folder."""
        request = {"do": "open", "path": path, "mode": "w", "executable": executable}
        fd = await self._file(request, path)
        try:
            await _beside(fd, lambda: _write_all(fd, data))
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise Failure(
                    FailureKind.TOO_LARGE,
                    f"{path} does not fit into the sandbox: {len(data)} bytes",
                    remedy=f"Send less, or raise limits.disk_mb; it is {self.limits.disk_mb}.",
                ) from error
            raise gone() from error

    async def get(self, path: str, most: int) -> bytes:
        """Return a file below the working folder."""
        fd = await self._file({"do": "open", "path": path, "mode": "r"}, path)
        data = await _beside(fd, lambda: _read_most(fd, most + 1))
        if len(data) > most:
            raise Failure(
                FailureKind.TOO_LARGE,
                f"{path} has more than the {most} bytes that may be taken out of the sandbox",
                remedy="Have the program divide or compress it, or raise jobs.max_artifact_bytes.",
            )
        return data

    async def list(self, most: int) -> Listing:
        """Return up to ``most`` files below the working folder."""
        asked = self._channel.open({"do": "list", "most": most})
        found: list[File] = []
        unnamed = 0
        try:
            for _ in range(most // _ENTRIES_A_LINE + 2):
                answer = await asked.next(GRACE)
                if "errno" in answer:
                    raise Failure(FailureKind.INVALID, f"its files cannot be listed: {_said(answer)}")
                files, beside = _files(answer["entries"])
                found += files
                unnamed += beside
                if not answer["more"] or len(found) > most:
                    return Listing(tuple(found[:most]), bool(answer.get("cut")), min(unnamed, most))
            # An honest guest is at an end long before.
            raise gone()
        except (KeyError, TypeError, ValueError) as error:
            raise gone() from error
        finally:
            asked.close()

    async def let_out(self, gate: Gate) -> None:
        """Give its programs a way to the network."""
        answer = await self._channel.ask({"do": "listen"})
        if "errno" in answer:
            raise never_started(
                f"the sandbox has no loopback to listen on: {_said(answer)}", "See how-to/jobs.md."
            )
        # Taken before any program has run: it can be no other socket than the guest's, in its own network.
        listening = self._channel.take_listener()
        self._env |= environment(listening.getsockname()[1])
        self._gate, self.network = gate, gate.used
        await gate.serve(listening)

    async def suspend(self) -> None:
        """Stop whatever runs."""
        await self._channel.ask({"do": "pause", "off": False})

    async def resume(self) -> None:
        """Let it go on."""
        await self._channel.ask({"do": "pause", "off": True})

    async def ended(self) -> None:
        """Return when its guest has gone."""
        await self._channel.ended.wait()

    async def destroy(self) -> None:
        """End everything in it."""
        if self._gate is not None:
            await self._gate.aclose()
        # The guest ends everything when the socket does; what does not heed that is killed.
        self._channel.close()
        left = []
        if not await gone_within(self._process, _BY_ITSELF):
            with suppress(ProcessLookupError):
                self._kill_all()
            if not await gone_within(self._process, _KILLED):
                # What is waited for may be a client of the engine, and the engine may not answer it.
                with suppress(ProcessLookupError):
                    self._process.kill()
                if not await gone_within(self._process, _KILLED):
                    left.append(f"process {self._process.pid}")
        if self._group is not None and not await self._group.remove():
            left.append("its control group")
        if left:
            get_logger("minoots.sandboxes").error(
                "sandbox.left_behind",
                tier=self.tier.value,
                what=left,
                remedy="It heeds no signal: see what holds it up in the kernel. The next worker looks again.",
            )
        if self._after is not None:
            after, self._after = self._after, None
            await after()

    async def _until(
        self, ending: asyncio.Task[Any], reader: Reader, moving: Moving, seconds: float
    ) -> Ended | None:
        """Wait for the end of a program; return why it has to be killed if it has."""
        deadline = time.monotonic() + seconds
        over = asyncio.create_task(reader.over.wait())
        streams = set(moving[1:])
        try:
            while True:
                left = max(0.0, deadline - time.monotonic())
                done, _ = await asyncio.wait(
                    {ending, over, *streams}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                if ending in done:
                    return None
                if over in done:
                    return Ended.TOO_MUCH_OUTPUT
                if not done:
                    return Ended.TIMED_OUT
                for stream in done:
                    # Closed long before the end, maybe; one that nobody takes any more ends the run.
                    await stream
                    streams.discard(stream)
        finally:
            over.cancel()

    async def _kill(self, ending: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
        # Nobody waits for this, as one who cancels does: a machine that is busy gets time to tell the end.
        await self._end_programs(_BUSY)
        return await self._ended(ending)

    async def _ended(self, ending: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(GRACE):
                return await asyncio.shield(ending)
        except TimeoutError:
            raise gone() from None

    async def _end_programs(self, patience: float = 1.0) -> None:
        """Kill whatever runs: by the guest, or with it when it does not answer in so many seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._channel.ask({"do": "end"})
        except (TimeoutError, OutcomeUnknown):
            with suppress(ProcessLookupError):
                self._kill_all()

    async def _file(self, request: dict[str, Any], path: str) -> int:
        answer, fd = await self._channel.ask_file(request)
        if "errno" not in answer:
            return fd
        if answer["errno"] in _NO_ROOM:
            raise Failure(FailureKind.TOO_LARGE, f"there is no room for {path} in the sandbox")
        if request["mode"] == "r":
            raise Failure(
                FailureKind.NOT_FOUND,
                f"there is no file {path} in the sandbox",
                remedy="Name a file that the program writes; links and what is behind them do not count.",
            )
        raise Failure(
            FailureKind.INVALID,
            f"{path} cannot be written in the sandbox: {_said(answer)}",
            remedy="Choose a path on which there is no link, and no folder of this name.",
        )


def _files(entries: Any) -> tuple[list[File], int]:
    """Return what a guest lists, without what no file of ours could be, and how many of it have no name.

    Raises:
        TypeError: it is no list of files at all.
        ValueError: likewise.
    """
    sound = [
        (path, size, bool(executable))
        for path, size, executable in entries
        if isinstance(path, str) and type(size) is int and 0 <= size < _MOST_COUNTED
    ]
    files = [File(*one) for one in sound if nameable(one[0])]
    return files, len(sound) - len(files)


def _ran(answer: dict[str, Any], why: Ended | None, wall_ms: float) -> Ran:
    code, cpu, peak = answer.get("ended"), answer.get("cpu"), answer.get("peak")
    if (
        type(code) is not int
        or not isinstance(cpu, int | float)
        or type(peak) is not int
        or not (-255 <= code <= 255 and 0 <= cpu < _MOST_COUNTED and 0 <= peak < _MOST_COUNTED)
    ):
        # No guest of ours says so, and no record could keep it.
        raise gone()
    return Ran(
        ended=why or (Ended.EXITED if code >= 0 else Ended.KILLED),
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        wall_ms=wall_ms,
        cpu_ms=cpu * 1000,
        peak_kb=peak,
    )


def _said(answer: dict[str, Any]) -> str:
    """Return the words of an error, as short as a guest's words may be."""
    said = answer.get("error")
    return "".join(one for one in said[:200] if one.isprintable()) if isinstance(said, str) else ""


async def _beside(fd: int, work: Callable[[], T]) -> T:
    """Do something with a descriptor in a thread; it is closed when that is over, and never before.

    Who waits may be called off meanwhile, and the thread goes on: the number would be another's by then.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))

    def over(done: asyncio.Future[T]) -> None:
        os.close(fd)
        if not done.cancelled():
            # Taken here as well: nobody may wait for it any more.
            done.exception()

    working.add_done_callback(over)
    return await asyncio.shield(working)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:_MEGABYTE]) :]


def _read_most(fd: int, most: int) -> bytes:
    parts = []
    while most > 0 and (part := os.read(fd, min(most, _MEGABYTE))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)
