"""What is said between a machine and its host: frames over one serial port.

The host's end of the wire that `guest/init.c` describes. Whatever comes from a machine is a stranger's: a
frame that is too long or of no known kind ends the machine.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MOST_PAYLOAD: Final = 65536
MOST_INPUT: Final = 131_072
"""Bytes that may be under way to the input of one program."""
_HEADER: Final = struct.Struct("<IIB3x")
_RESULT: Final = struct.Struct("<iiIII")
_COUNT: Final = struct.Struct("<I")
_BEGINNING: Final = struct.Struct("<QIIII64s16s")


class Kind(IntEnum):
    """What a frame says: up to `POWER_OFF` to a machine, the rest from it, the last three either way."""

    BEGIN = ord("B")
    """The first of them: what is this machine's own."""
    RUN = ord("R")
    INPUT = ord("I")
    """Nothing in it: the end of the input."""
    KILL = ord("K")
    FREEZE = ord("Z")
    """Everything that runs stands still, until `THAW`."""
    THAW = ord("T")
    LISTEN = ord("L")
    """For programs that want to reach the network, on the loopback."""
    POWER_OFF = ord("Q")
    HELLO = ord("H")
    """It is there; its state may be kept now, for nothing in it is anybody's yet."""
    READY = ord("Y")
    """It has begun."""
    STARTED = ord("S")
    FAILED = ord("F")
    OUTPUT = ord("O")
    ERRORS = ord("E")
    ACCEPTED = ord("A")
    """So many bytes of input were taken."""
    EXITED = ord("X")
    LISTENING = ord("P")
    """On this port."""
    CONNECT = ord("C")
    """A program has come to that port; the number is that of its connection from now on."""
    DATA = ord("D")
    """Of a connection, both ways; nothing in it: the program is at its end."""
    TAKEN = ord("G")
    """So many bytes of a connection were taken, both ways."""
    CLOSED = ord("U")
    """A connection is over, both ways."""


class ProtocolError(Exception):
    """A machine said what no machine of ours says."""


@dataclass(frozen=True)
class Frame:
    """One of them."""

    kind: Kind
    run: int
    payload: bytes

    def encode(self) -> bytes:
        """Return it as it goes over the wire."""
        return _HEADER.pack(len(self.payload), self.run, self.kind) + self.payload


@dataclass(frozen=True)
class Exit:
    """How a program ended in a machine.

    Attributes:
        exit_code: what it exited with; ``None`` where a signal ended it.
        peak_kb: the most memory that one of its processes had.
    """

    exit_code: int | None
    signal: int | None
    short_of_memory: bool
    cpu_ms: int
    peak_kb: int


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame; ``None`` when there will be no more.

    Raises:
        ProtocolError: it is none.
    """
    try:
        length, run, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if length > MOST_PAYLOAD:
            raise ProtocolError(f"expected a frame of at most {MOST_PAYLOAD} bytes; got one of {length}")
        payload = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return Frame(Kind(kind), run, payload)
    except ValueError:
        raise ProtocolError(f"there is no frame of kind {kind}") from None


def begin_frame(
    time_ns: int, memory_mb: int, processes: int, randomness: bytes, name: str, *, root: bool = False
) -> Frame:
    """Return what a machine has to be told before it does anything.

    Args:
        time_ns: nanoseconds since 1970.
        memory_mb: for all of its programs together.
        processes: likewise.
        randomness: 64 bytes that nobody else has.
        name: up to 15 letters.
        root: whether it has a second disk, with a root for its programs.
    """
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    numbers = (seconds, nanoseconds, memory_mb, processes, int(root))
    return Frame(Kind.BEGIN, 0, _BEGINNING.pack(*numbers, randomness, name.encode("ascii")[:15]))


def run_frame(run: int, folder: str, root: str, command: tuple[str, ...], env: dict[str, str]) -> Frame:
    """Return the request to run a program.

    Raises:
        ValueError: it is too long, or has a NUL in it.
    """
    fields = [folder, root, str(len(command)), *command, *(f"{name}={value}" for name, value in env.items())]
    if any("\x00" in one for one in fields):
        raise ValueError("expected a command and an environment without NUL characters")
    payload = b"".join(one.encode() + b"\x00" for one in fields)
    if len(payload) > MOST_PAYLOAD:
        raise ValueError(f"expected a command and an environment of at most {MOST_PAYLOAD} bytes together")
    return Frame(Kind.RUN, run, payload)


def number_frame(kind: Kind, run: int, number: int) -> Frame:
    """Return a frame that says a number."""
    return Frame(kind, run, _COUNT.pack(number))


def number_of(frame: Frame) -> int:
    """Return the number that a frame says: of bytes that were taken, or of a port.

    Raises:
        ProtocolError: it says none.
    """
    if len(frame.payload) != _COUNT.size:
        raise ProtocolError("expected a number")
    return int(_COUNT.unpack(frame.payload)[0])


def refusal_of(frame: Frame) -> tuple[int, str]:
    """Return why a program was not started: the number of the error, and words.

    Raises:
        ProtocolError: it does not say.
    """
    if len(frame.payload) < _COUNT.size:
        raise ProtocolError("expected why a program was not started")
    return int(_COUNT.unpack_from(frame.payload)[0]), frame.payload[_COUNT.size :].decode(errors="replace")


def exit_of(frame: Frame) -> Exit:
    """Return how a program ended.

    Raises:
        ProtocolError: it does not say.
    """
    if len(frame.payload) != _RESULT.size:
        raise ProtocolError("expected how a program ended")
    code, signal, short_of_memory, cpu_ms, peak_kb = _RESULT.unpack(frame.payload)
    return Exit(None if code < 0 else code, signal or None, bool(short_of_memory), cpu_ms, peak_kb)
