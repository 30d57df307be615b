"""`minoots dev` in the background: started, asked how it is, stopped.

The data directory says who runs: the lock is held as long as the process lives, and a file beside it says
where it can be reached. A file without the lock is left over from one that was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from minoots_platform.whole_files import write_whole

from .faults import CHILD_FAILED, CONFIG, StackFault

READY_WITHIN: Final = 100.0
STOPPED_WITHIN: Final = 40.0
_FILE: Final = "daemon.json"
_LOG: Final = "daemon.log"
_SHOWN: Final = 15
_ROOM: Final = 65_536
"""Bytes that have to be free to begin: the lock, the files that say who runs, the first lines of logs."""


@dataclass(frozen=True)
class Running:
    """A daemon that runs."""

    pid: int
    addresses: dict[str, Any]
    arguments: tuple[str, ...]
    started_at: datetime


@dataclass(frozen=True)
class Daemon:
    """The daemon of a data directory."""

    data_dir: Path

    def running(self) -> Running | None:
        """Return what runs in the background; ``None`` where nothing does.

        Raises:
            StackFault: somebody holds the data directory who was not started so.
        """
        holder = _holder(self.data_dir / "lock")
        known = self._known()
        if holder is None:
            return None
        if known is None or known.pid != holder:
            raise StackFault(
                CONFIG,
                f"the data directory {self.data_dir} is held by process {holder}, which runs in a terminal",
                f"End it there, or with: kill {holder}",
            )
        return known

    @property
    def crashed(self) -> bool:
        """Whether one was started that is gone without having been stopped."""
        return self._known() is not None and _holder(self.data_dir / "lock") is None

    def start(self, arguments: Sequence[str]) -> Running:
        """Start it; return when timers can be set, and capturing has begun where it is enabled.

        Raises:
            StackFault: it did not become ready, with the last lines of its log.
        """
        command = [
            str(Path(sysconfig.get_path("scripts")) / "minoots"),
            *("dev", "--json", "--data-dir", str(self.data_dir)),
            *arguments,
        ]
        log = self.data_dir / _LOG
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Beforehand: what runs and cannot be found again is worse than what does not run.
            _require_space(self.data_dir)
            errors = log.open("ab")
        except OSError as error:
            raise StackFault(
                CONFIG,
                f"the data directory {self.data_dir} cannot be used: {error.strerror}",
                "Make room or choose another: --data-dir",
            ) from error
        with errors:
            begin = errors.tell()
            process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Of its own: it outlives the terminal.
                start_new_session=True,
            )
        ready = _first_line(process)
        if ready is None:
            code = _end(process)
            told = log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()[-_SHOWN:]
            raise StackFault(
                code if code > 0 else CHILD_FAILED,
                "it did not become ready:\n  " + "\n  ".join(told),
                f"The log is {log}.",
            )
        about = json.loads(ready)
        running = Running(process.pid, about, tuple(arguments), datetime.now(UTC))
        values = {
            "pid": running.pid,
            "addresses": about,
            "arguments": list(running.arguments),
            "started_at": running.started_at.isoformat(),
        }
        try:
            write_whole(self.data_dir / _FILE, json.dumps(values, indent=2) + "\n")
        except OSError as error:
            _end(process)
            raise StackFault(
                CONFIG,
                f"where it runs cannot be noted in {self.data_dir}: {error.strerror}; it was stopped again",
                "Make room, then start it once more; what was accepted is kept.",
            ) from error
        return running

    def stop(self) -> bool:
        """Stop it; return whether it ran.

        Raises:
            StackFault: it did not end in time, or somebody else holds the data directory.
        """
        running = self.running()
        if running is not None:
            with suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOPPED_WITHIN
            while _holder(self.data_dir / "lock") is not None:
                if time.monotonic() > deadline:
                    raise StackFault(
                        CHILD_FAILED,
                        f"process {running.pid} did not end within {STOPPED_WITHIN:g} s",
                        f"kill -9 {running.pid} ends it; nothing that was accepted is lost.",
                    )
                time.sleep(0.05)
        (self.data_dir / _FILE).unlink(missing_ok=True)
        return running is not None

    def last_arguments(self) -> tuple[str, ...]:
        """Return what it was started with the last time."""
        known = self._known()
        return () if known is None else known.arguments

    def _known(self) -> Running | None:
        try:
            values = json.loads((self.data_dir / _FILE).read_text())
            return Running(
                int(values["pid"]),
                dict(values["addresses"]),
                tuple(values["arguments"]),
                datetime.fromisoformat(values["started_at"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a process that is of no use; return its exit code."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        return process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        # What it began ends with it.
        process.kill()
        return process.wait()


def _holder(lock: Path) -> int | None:
    """Return the process that holds a lock; ``None`` where nobody does."""
    try:
        with lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text.isdecimal() else -1
    except FileNotFoundError:
        return None
    return None


def _require_space(folder: Path) -> None:
    """Make sure that there is room for the files that say who runs.

    Raises:
        OSError: there is none.
    """
    probe = folder / f".{_FILE}.space"
    try:
        write_whole(probe, "\0" * _ROOM)
    finally:
        probe.unlink(missing_ok=True)


def _first_line(process: subprocess.Popen[bytes]) -> bytes | None:
    """Return the first line that a process prints, unless it ends or takes too long."""
    if process.stdout is None:
        return None
    deadline = time.monotonic() + READY_WITHIN
    with process.stdout as output:
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(output.fileno(), 65536) if readable else b""
            if not piece:
                return None
            line += piece
    return line
