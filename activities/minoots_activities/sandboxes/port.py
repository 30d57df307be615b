"""What may be asked of a sandbox, whatever gives it.

Owns the vocabulary: what is run, how it ended, and what can go wrong. A sandbox never has more than it says:
who asks for a tier that this machine cannot give gets an error that names what is missing.
"""

from __future__ import annotations

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from minoots.contracts.sandboxes import FILE_PATH_PATTERN, Limits, Tier
from minoots.errors import Failure, FailureKind
from minoots_activities.egress.gate import Gate, Used

Stream = Literal["stdout", "stderr"]
Output = Callable[[Stream, bytes], Awaitable[None]]
"""Who is given what a program writes, as it comes."""

PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_NAMEABLE: Final = re.compile(FILE_PATH_PATTERN)


class NeverStarted(Failure):
    """The program was not started: nothing of it has happened, and it may be tried again."""


class EndedBefore(NeverStarted):
    """The sandbox ended before its program began: the same may be done in another one."""


class OutcomeUnknown(Failure):
    """The sandbox is gone, and nobody knows how far the program came."""


class Ended(StrEnum):
    """Why a program is not running any more."""

    EXITED = "exited"
    KILLED = "killed"
    """By a signal of its own making, or of the machine's."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_MUCH_OUTPUT = "too_much_output"


@dataclass(frozen=True)
class Program:
    """What is run.

    Attributes:
        command: the program and its arguments.
        env: its environment, all of it beside what every sandbox has.
        stdin: what it reads.
        source: what it reads after that, as it comes; its end is the end of what it reads.
        seconds: how long it may run; by default as long as the limits of the sandbox say.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    source: AsyncIterator[bytes] | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    Attributes:
        exit_code: what it exited with; ``None`` where a signal ended it.
        signal: the number of that signal.
        wall_ms: from its start to its end.
        cpu_ms: processor time of it and of what it waited for.
        peak_kb: the most memory that one of its processes had.
    """

    ended: Ended
    exit_code: int | None
    signal: int | None
    wall_ms: float
    cpu_ms: float
    peak_kb: int


@dataclass(frozen=True)
class File:
    """A file in a sandbox."""

    path: str
    bytes: int
    executable: bool = False


@dataclass(frozen=True)
class Listing:
    """Files of a sandbox.

    Attributes:
        cut: whether there are more than were asked for.
        unnamed: files that are there and whose names are none that anybody can ask for.
    """

    files: tuple[File, ...]
    cut: bool
    unnamed: int = 0


def nameable(path: str) -> bool:
    """Tell whether a path is one by which a file can be put into a sandbox, and so be taken out of it."""
    return _NAMEABLE.fullmatch(path) is not None and not {"", ".", ".."} & set(path.split("/"))


class Sandbox(ABC):
    """One sandbox: a working folder, and programs that run in it one after the other."""

    tier: Tier
    limits: Limits
    held_by: Mapping[str, str]
    """What holds the limits here: ``{"memory": "cgroup"}`` is all processes together, ``rlimit`` each."""
    network: Used | None = None
    """What its programs have had of the network; ``None`` where they have none."""
    known_as: str | None = None
    """What its control groups are called, where it had some before it had its name."""

    @abstractmethod
    async def exec(self, program: Program, output: Output) -> Ran:
        """Run a program to its end. When this is cancelled, the program is killed before it returns.

        Raises:
            EndedBefore: the sandbox was gone before it could be told what to run.
            NeverStarted: the program could not be started.
            OutcomeUnknown: the sandbox went while it ran.
        """

    @abstractmethod
    async def put(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Write a file below the working folder.

        Raises:
            Failure: invalid, when it cannot be written there; too_large, when there is no room.
        """

    @abstractmethod
    async def get(self, path: str, most: int) -> bytes:
        """Return a file below the working folder.

        Raises:
            Failure: not_found, for what is no file or is behind a link; too_large, beyond ``most`` bytes.
        """

    @abstractmethod
    async def list(self, most: int) -> Listing:
        """Return up to ``most`` files below the working folder. Links are none."""

    @abstractmethod
    async def snapshot(self, most: int) -> bytes:
        """Return the files of the working folder as a tar archive: another sandbox may begin with them.

        Programs that run are not part of it; what they change meanwhile may be.

        Raises:
            Failure: too_large, beyond ``most`` bytes.
        """

    @abstractmethod
    async def restore(self, snapshot: bytes) -> None:
        """Put the files of a snapshot into the working folder, over those that are there.

        Raises:
            Failure: invalid, for what is none; too_large, when there is no room.
        """

    async def let_out(self, gate: Gate) -> None:
        """Give its programs a way to the network, through a gate outside. Before any of them runs.

        Raises:
            NeverStarted: this tier has none.
        """
        raise never_started(f"the tier {self.tier} has no way to the network", "Choose another tier.")

    @abstractmethod
    async def suspend(self) -> None:
        """Stop whatever runs, until `resume`."""

    @abstractmethod
    async def resume(self) -> None:
        """Let it go on."""

    @abstractmethod
    async def ended(self) -> None:
        """Return when it has ended without having been destroyed: nothing in it will go on."""

    def console(self) -> str:
        """Return the end of what its machine has written to a console; nothing where there is none."""
        return ""

    @abstractmethod
    async def destroy(self) -> None:
        """End everything in it; nothing of it is left when this returns. May be called again."""


class Sandboxes(ABC):
    """What gives sandboxes of one tier."""

    tier: Tier
    no_network: str | None = None
    """Why its programs cannot be held to a list of hosts; ``None`` when they can."""

    @abstractmethod
    async def missing(self) -> tuple[str, ...]:
        """Return what this machine lacks for the tier, each in a sentence; nothing when it can be had."""

    @abstractmethod
    async def create(self, name: str, limits: Limits, image: str | None = None) -> Sandbox:
        """Return a new sandbox.

        Args:
            name: what it is for.
            limits: how much it may take.
            image: its root file system, where the tier has images.

        Raises:
            NeverStarted: it could not be made.
        """


def never_started(detail: str, remedy: str) -> NeverStarted:
    """Return the error of what was not started."""
    return NeverStarted(FailureKind.UNAVAILABLE, detail, remedy=remedy)


def not_started(name: str, reason: int, said: str) -> NeverStarted:
    """Return the error of a program that a sandbox could not start.

    Args:
        name: the program.
        reason: the number of the system's error.
        said: the system's words for it.
    """
    if reason == errno.ENOENT:
        return NeverStarted(
            FailureKind.INVALID,
            f"there is no program {name[:200]!r} in the sandbox",
            remedy="Name one that it has, or send it along.",
        )
    if reason in (errno.EACCES, errno.ENOEXEC):
        return NeverStarted(
            FailureKind.INVALID,
            f"{name[:200]!r} cannot be run in the sandbox: {said}",
            remedy="Send the file with executable: true, or name its interpreter first.",
        )
    return never_started(f"{name[:200]!r} was not started: {said}", "Look at the limits of the job.")


def ended_before() -> EndedBefore:
    """Return the error of a sandbox that ended before it was told what to run."""
    return EndedBefore(
        FailureKind.UNAVAILABLE,
        "the sandbox ended before the program began",
        remedy="Nothing of it has happened: submit it again.",
    )


def gone() -> OutcomeUnknown:
    """Return the error of a sandbox that is not there any more."""
    return OutcomeUnknown(
        FailureKind.UNAVAILABLE,
        "the sandbox ended before it told how the program did",
        remedy="Look at what the program was to change before you run it again.",
    )
