"""One child process: started so that it dies with us, its output in a log file."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from minoots_platform.parent import VARIABLE

from .faults import CONFIG, StackFault

_LOG_BYTES: Final = 10_000_000
_SHOWN_LINES: Final = 20
_PR_SET_PDEATHSIG: Final = 1


@dataclass
class Spec:
    """A child to run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    grace: float = 15.0
    """Seconds between asking it to end and ending it."""
    needed: bool = True
    """Whether the others end when it keeps dying."""
    on_start: Callable[[int], None] | None = None
    """Called with the pid of each start."""


class Child:
    """A running child."""

    def __init__(self, spec: Spec, logs: Path, *, verbose: bool) -> None:
        self.spec = spec
        self._log = logs / f"{spec.name}.log"
        self._verbose = verbose
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: tuple[int, int] | None = None
        self.deaths: list[float] = []
        self.given_up = False
        """Whether it kept dying, and is not started again."""

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def start(self) -> None:
        """Start it. Its end of the lifeline reads EOF as soon as this process is gone.

        Raises:
            StackFault: when its program cannot be run.
        """
        log = _opened(self._log)
        reading, writing = os.pipe()
        self._lifeline = (reading, writing)
        try:
            self._process = await self._spawn(reading, log)
        except OSError as error:
            # Typically a file that is no program, or one built for another machine.
            self._cut_lifeline()
            raise StackFault(
                CONFIG,
                f"{self.spec.name} cannot be started: {self.spec.command[0]}: {error.strerror}",
                "Install minoots-server anew; a Temporal binary of your own is named by temporal.binary.",
            ) from error
        finally:
            os.close(reading)
            os.close(log)
        if self.spec.on_start is not None:
            self.spec.on_start(self._process.pid)

    async def _spawn(self, lifeline: int, log: int) -> asyncio.subprocess.Process:
        environment = {**os.environ, **self.spec.environment, VARIABLE: str(lifeline)}
        output = None if self._verbose else log
        return await asyncio.create_subprocess_exec(
            *self.spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            # Standard output is ours alone: --json promises one object on it.
            stdout=sys.stderr if self._verbose else output,
            stderr=output,
            env=environment,
            pass_fds=(*self.spec.pass_fds, lifeline),
            # A group of its own: Ctrl-C reaches us, and we end the children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    async def wait(self) -> int:
        """Wait for its end; return the exit code."""
        if self._process is None:
            raise RuntimeError(f"{self.spec.name} was not started")
        code = await self._process.wait()
        self.deaths.append(time.monotonic())
        self._cut_lifeline()
        return code

    async def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self._process is None or self._process.returncode is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._process.wait()), self.spec.grace)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()
        self._cut_lifeline()

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def last_lines(self) -> list[str]:
        """Return the end of its log."""
        try:
            text = self._log.read_bytes()[-20_000:].decode(errors="replace")
        except OSError:
            return []
        return text.splitlines()[-_SHOWN_LINES:]

    def _cut_lifeline(self) -> None:
        if self._lifeline is not None:
            with suppress(OSError):
                os.close(self._lifeline[1])
            self._lifeline = None


def _opened(log: Path) -> int:
    """Return a descriptor of a log, or of nowhere: what cannot be logged is no reason not to run."""
    with suppress(OSError):
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


if sys.platform == "linux":
    # Loaded before any fork: between fork and exec nothing may be imported.
    _LIBC: Final = ctypes.CDLL(None, use_errno=True)

    def _die_with_parent() -> None:
        """Have the kernel end this child when the thread that started it is gone (the main thread)."""
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
else:

    def _die_with_parent() -> None:
        """Elsewhere the lifeline does it, for our own children; the next start ends a left-over server."""
