"""`minoots dev` as a process, to use, stop and kill."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

MINOOTS = str(Path(sysconfig.get_path("scripts")) / "minoots")
FREE_PORTS = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")
READY_WITHIN = 95


def environment() -> dict[str, str]:
    """The environment without our settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MINOOTS_")}


def run(*arguments: str, cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [MINOOTS, *arguments], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout
    )


@dataclass
class DevStack:
    """A running stack."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    folder: Path
    _family: list[psutil.Process] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the gateway."""
        url: str = self.ready["gateway"]
        return url

    def family(self) -> list[psutil.Process]:
        """Every process of the tree, the supervisor last."""
        try:
            root = psutil.Process(self.process.pid)
            self._family = [*root.children(recursive=True), root]
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass  # one ended while it was looked at: what was known before has to do
        return self._family

    def pid(self, name: str) -> int:
        """Of one part, as it runs now."""
        words = {
            "temporal": "start-dev",
            "worker-core": "core",
            "worker-io": "io",
            "worker-jobs": "llm",
            "gateway": "gateway",
            "watch": "watch",
        }
        for process in self.family():
            with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                if words[name] in process.cmdline():
                    return process.pid
        raise AssertionError(f"no {name} is running")

    def runs(self, name: str) -> bool:
        """Whether a part runs."""
        try:
            return self.pid(name) > 0
        except AssertionError:
            return False

    def kill9(self) -> None:
        """Kill every process of the tree at once."""
        family = self.family()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(30)
        psutil.wait_procs(family, timeout=30)

    def stop(self) -> int:
        """Stop it as an operator would; return the exit code."""
        self.family()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """Kill what still runs and let the pipe go."""
        if self.process.poll() is None:
            self.kill9()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def leftovers(self, within: float = 20) -> list[psutil.Process]:
        """Processes of the tree that still run after a while."""
        _, alive = psutil.wait_procs(self._family, timeout=within)
        return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def start(folder: Path, *arguments: str) -> DevStack:
    """Start a stack in ``folder`` and wait until it is ready."""
    command = [MINOOTS, "dev", "--json", *FREE_PORTS, "--data-dir", str(folder / "data"), *arguments]
    with (folder / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    deadline = time.monotonic() + READY_WITHIN
    readable, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
    line = process.stdout.readline() if readable else ""
    if not line:
        process.kill()
        process.wait(10)
        raise AssertionError(f"not ready: {(folder / 'dev.log').read_text()[-3000:]}")
    stack = DevStack(process, json.loads(line), folder)
    stack.family()
    return stack
