"""A machine from its host's side: programs that are run in it, one call each.

Owns the connection; what a program is given to do, and for how long, is the business of who runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from minoots.errors import FailureKind
from minoots_activities.egress.gate import Gate
from minoots_activities.sandboxes.port import (
    NeverStarted,
    Output,
    ended_before,
    gone,
    never_started,
    not_started,
)

from .frames import (
    MOST_PAYLOAD,
    Exit,
    Frame,
    Kind,
    ProtocolError,
    exit_of,
    number_of,
    read_frame,
    refusal_of,
    run_frame,
)
from .relaying import RELAYED, Relay
from .rooms import Room

VERSION: Final = 4
"""Of the wire; the guest says which it speaks."""
OTHER_ROOT: Final = "/other"
"""Where a machine has the files of its second disk."""
_HELD: Final = 32
"""Frames that wait for a slow reader before the machine is made to wait."""
_GRACE: Final = 15.0
"""Seconds in which a machine says that it has started or killed a program."""
_MOST_UNREAD: Final = 64 * 1024 * 1024
"""Bytes that wait for a machine to read them, well above what all its programs and connections may have under
way: some of what it says is answered, and it may say more without end."""


class Guest:
    """The inside of one machine, from when it has said that it is there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._runs: dict[int, asyncio.Queue[Frame | None]] = {}
        self._number = 0
        self._relay: Relay | None = None
        self._listens = asyncio.Event()
        self._port = 0
        self.ended = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name="listen to a machine")

    @classmethod
    async def begin(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, own: Frame
    ) -> Guest | None:
        """Tell a machine what is its own; return its guest when it has begun, ``None`` when it ended before.

        Raises:
            ProtocolError: it is none of ours.
        """
        guest = None
        try:
            writer.write(own.encode())
            ready = await read_frame(reader)
            if ready is not None and ready.kind is not Kind.READY:
                raise ProtocolError(f"a machine that begins says {ready.kind.name}")
            guest = cls(reader, writer) if ready is not None else None
            return guest
        finally:
            if guest is None:
                writer.close()

    async def run(
        self,
        command: tuple[str, ...],
        output: Output,
        *,
        env: Mapping[str, str],
        stdin: bytes = b"",
        source: AsyncIterator[bytes] | None = None,
        folder: str = "/work",
        root: str = "/",
        stop: asyncio.Event | None = None,
    ) -> Exit:
        """Run a program to its end. When this is cancelled, the program is killed before it returns.

        Args:
            command: the program and its arguments.
            output: who is given what it writes, as it comes.
            env: its environment, all of it.
            stdin: what it reads.
            source: what it reads after that, as it comes; its end is the end of what it reads.
            folder: where it begins.
            root: what it has as the root of all files; `OTHER_ROOT`, where there is a second disk.
            stop: when it is set, the program is killed, and how it ended is returned.

        Raises:
            EndedBefore: the machine was gone before it could be told what to run.
            NeverStarted: it could not be started.
            OutcomeUnknown: the machine went while it ran.
        """
        self._number += 1
        number = self._number
        try:
            request = run_frame(number, folder, root, command, dict(env))
        except ValueError as error:
            raise NeverStarted(
                FailureKind.INVALID, str(error), remedy="Put what is long into a file."
            ) from None
        frames: asyncio.Queue[Frame | None] = asyncio.Queue(_HELD)
        if self.ended.is_set():
            raise ended_before()
        self._runs[number] = frames
        try:
            self._send(request)
            if self._writer.transport.is_closing():
                # The kernel has not taken all of it.
                raise ended_before()
            first = await self._first(frames)
            if first.kind is Kind.FAILED:
                raise not_started(command[0], *refusal_of(first))
            room = Room()
            beside = [asyncio.create_task(self._feed(number, stdin, source, room))]
            if stop is not None:
                beside.append(asyncio.create_task(self._kill_when(stop, number)))
            try:
                return await self._follow(number, frames, output, room)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
        finally:
            self._runs.pop(number, None)

    async def listen(self, gate: Gate) -> int:
        """Have the machine listen for its programs, and carry what they say to a gate; return the port.

        Once, before any program runs: it can be no other's port.

        Raises:
            NeverStarted: it does not listen.
        """
        self._relay = Relay(gate, self._send, self._writer.drain)
        self._send(Frame(Kind.LISTEN, 0, b""))
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._listens.wait()
        if not 0 < self._port < 65536:
            raise never_started("the machine has no loopback to listen on", "See how-to/machines.md.")
        return self._port

    async def ended_relaying(self) -> None:
        """Wait until no connection of a program is carried any more; the machine has been closed."""
        if self._relay is not None:
            await self._relay.aclose()

    def freeze(self) -> None:
        """Have everything that runs stand still; what is started later runs."""
        self._send(Frame(Kind.FREEZE, 0, b""))

    def thaw(self) -> None:
        """Let it go on."""
        self._send(Frame(Kind.THAW, 0, b""))

    def close(self) -> None:
        """Let the machine go: it switches itself off."""
        self._end()
        self._listening.cancel()
        self._writer.close()

    async def _first(self, frames: asyncio.Queue[Frame | None]) -> Frame:
        try:
            async with asyncio.timeout(_GRACE):
                first = await frames.get()
        except TimeoutError:
            self.close()
            first = None
        if first is None:
            raise gone()
        return first

    async def _follow(
        self, number: int, frames: asyncio.Queue[Frame | None], output: Output, room: Room
    ) -> Exit:
        try:
            while (frame := await frames.get()) is not None:
                match frame.kind:
                    case Kind.OUTPUT:
                        await output("stdout", frame.payload)
                    case Kind.ERRORS:
                        await output("stderr", frame.payload)
                    case Kind.ACCEPTED:
                        room.free(number_of(frame))
                    case Kind.EXITED:
                        return exit_of(frame)
                    case _:
                        raise ProtocolError(f"a program that runs says {frame.kind.name}")
            raise gone()
        except ProtocolError as error:
            self.close()
            raise gone() from error
        except BaseException:
            await self._kill(number, frames)
            raise

    async def _kill_when(self, stop: asyncio.Event, number: int) -> None:
        await stop.wait()
        self._send(Frame(Kind.KILL, number, b""))
        await asyncio.sleep(_GRACE)
        self.close()

    async def _kill(self, number: int, frames: asyncio.Queue[Frame | None]) -> None:
        """End a program and wait until it is gone; a machine that does not do it is let go itself."""
        if self.ended.is_set():
            return
        self._send(Frame(Kind.KILL, number, b""))
        try:
            async with asyncio.timeout(_GRACE):
                while (frame := await frames.get()) is not None:
                    if frame.kind is Kind.EXITED:
                        return
        except TimeoutError:
            self.close()

    async def _feed(self, number: int, stdin: bytes, source: AsyncIterator[bytes] | None, room: Room) -> None:
        await self._give(number, stdin, room)
        if source is not None:
            async for said in source:
                await self._give(number, said, room)
        self._send(Frame(Kind.INPUT, number, b""))

    async def _give(self, number: int, data: bytes, room: Room) -> None:
        for begin in range(0, len(data), MOST_PAYLOAD):
            piece = data[begin : begin + MOST_PAYLOAD]
            await room.take(len(piece))
            self._send(Frame(Kind.INPUT, number, piece))

    async def _listen(self) -> None:
        try:
            while (frame := await read_frame(self._reader)) is not None:
                if frame.kind in RELAYED:
                    self._hear(frame)
                    if self._writer.transport.get_write_buffer_size() > _MOST_UNREAD:
                        raise ProtocolError("a machine is answered and reads nothing")
                    continue
                frames = self._runs.get(frame.run)
                if frames is not None:
                    await frames.put(frame)
        except ProtocolError:
            self._writer.close()
        finally:
            self._end()

    def _hear(self, frame: Frame) -> None:
        if self._relay is None:
            raise ProtocolError(f"a machine without network says {frame.kind.name}")
        if frame.kind is not Kind.LISTENING:
            self._relay.hear(frame)
        elif not self._listens.is_set():
            self._port = number_of(frame)
            self._listens.set()

    def _send(self, frame: Frame) -> None:
        # What is sent is bounded by the room of each run, so that nothing piles up here.
        if not self.ended.is_set():
            self._writer.write(frame.encode())

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        self._listens.set()
        if self._relay is not None:
            self._relay.close()
        for frames in self._runs.values():
            with suppress(asyncio.QueueEmpty):
                if frames.full():
                    frames.get_nowait()
            frames.put_nowait(None)


async def greeted(reader: asyncio.StreamReader) -> bool:
    """Wait until a machine has come up; tell whether it has, and did not end before.

    Raises:
        ProtocolError: it is none of ours, or of another version.
    """
    hello = await read_frame(reader)
    if hello is not None and (hello.kind, hello.run) != (Kind.HELLO, VERSION):
        raise ProtocolError(f"expected a machine of version {VERSION}; build it anew: minoots vm build-image")
    return hello is not None


async def connect(path: Path, within: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Return the connection to a machine that is starting; ``None`` when nobody listens in that time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while True:
                with suppress(FileNotFoundError, ConnectionRefusedError):
                    return await asyncio.open_unix_connection(path)
                await asyncio.sleep(0.005)
    return None
