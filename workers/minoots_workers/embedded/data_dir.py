"""The data directory of an embedded stack: one instance at a time, no server left over."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from minoots_platform.whole_files import write_whole

from .faults import CONFIG, DATA_DIR_HELD, StackFault

_LOCK: Final = "lock"
_SERVER: Final = "temporal.pid"
_GRACE: Final = 5.0


class DataDir:
    """A locked data directory. The lock dies with this process: children do not inherit it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def logs(self) -> Path:
        """Where the children's logs are."""
        return self.path / "logs"

    def __enter__(self) -> Self:
        try:
            # For this process and all its children: records hold payloads, logs hold names.
            os.umask(0o077)
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self.logs.mkdir(exist_ok=True)
            self._lock = (self.path / _LOCK).open("a+")
        except OSError as error:
            raise StackFault(
                CONFIG,
                f"the data directory {self.path} cannot be used: {error.strerror}",
                "Choose another: --data-dir",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise StackFault(
                DATA_DIR_HELD,
                f"the data directory {self.path} is held by another instance (process {holder})",
                f"End it (kill {holder}), or choose another directory: --data-dir",
            ) from None
        try:
            os.ftruncate(self._lock.fileno(), 0)
            os.write(self._lock.fileno(), str(os.getpid()).encode())
        except OSError as error:
            self._let_go()
            raise StackFault(
                CONFIG,
                f"the data directory {self.path} cannot be written: {error.strerror}",
                "Make room or choose another: --data-dir",
            ) from error
        self._end_stale_server()
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def note_server(self, pid: int) -> None:
        """Remember the Temporal server, so that the next start can end it if this process is killed.

        On a full disk it is not: what runs goes on, and on Linux the server ends with this process.
        """
        with suppress(OSError):
            write_whole(self.path / _SERVER, str(pid))

    def _end_stale_server(self) -> None:
        """End the Temporal server of an instance that was killed: it holds database and ports."""
        note = self.path / _SERVER
        try:
            pid = int(note.read_text())
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + _GRACE
        while _serves(pid, self.path):
            with suppress(ProcessLookupError):  # it may end between the look and the signal
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.05)
        note.unlink(missing_ok=True)


def _serves(pid: int, path: Path) -> bool:
    """Tell whether ``pid`` is a Temporal server on ``path``: the number may belong to anybody by now."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        import subprocess  # no /proc on macOS

        shown = subprocess.run(  # noqa: S603 - the only argument is a number
            ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
            capture_output=True,
            check=False,
        )
        command = shown.stdout.split()
    return b"start-dev" in command and any(str(path).encode() in part for part in command)
