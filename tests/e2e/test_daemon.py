"""`minoots start`, `status`, `restart`, `stop`: the stack in the background."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from dev_stacks import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Background:
    """A folder in which a stack may run in the background."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Of the file, for `start` takes only the gateway's port, and tests run beside one another.
        (folder / "minoots.toml").write_text(
            "schema_version = 2\n[gateway]\nport = 0\n[temporal]\nport = 0\nui_port = 0\n"
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        done = run(*arguments, cwd=self.folder, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def known(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / ".minoots" / "daemon.json").read_text())
        return found


def until(check: Callable[[], bool], within: float = 90) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Background]:
    """A folder; what runs there at the end is ended."""
    found = Background(tmp_path)
    yield found
    found.run("stop")


def test_it_starts_is_there_survives_and_stops(background: Background) -> None:
    assert background.run("status")[0] == 1
    own = background.folder / "own.toml"
    own.write_text((background.folder / "minoots.toml").read_text())
    code, told = background.run("start", "--config", "own.toml")
    assert code == 0, told
    known = background.known()
    assert f"process {known['pid']}" in told
    assert httpx.get(f"{known['addresses']['gateway']}/ready").status_code == 200, "ready when it says so"
    code, told = background.run("start")
    assert (code, "runs already" in told) == (0, True)
    code, told = background.run("start", "--config", "own.toml")
    assert (code, "runs already" in told) == (0, True)
    code, told = background.run("start", "--port", "4321")
    assert code == 4
    assert "With --port 4321 it can only begin: `minoots stop` first." in told
    for asked in (("status", "--json"), ("--json", "status")):
        code, told = background.run(*asked)
        assert (code, json.loads(told)["state"]) == (0, "running")
    code, told = background.run("restart")
    again = background.known()
    assert (code, again["arguments"]) == (0, known["arguments"]), told
    assert again["pid"] != known["pid"]
    os.kill(again["pid"], signal.SIGKILL)
    until(lambda: "crashed" in background.run("status")[1])
    code, told = background.run("start")
    assert (code, "was killed" in told) == (0, True)
    known = background.known()
    daemon = psutil.Process(known["pid"])
    family = [daemon, *daemon.children(recursive=True)]
    assert background.run("stop") == (0, "minoots has stopped\n")
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert background.run("stop") == (0, "minoots does not run\n")


def test_what_cannot_start_says_why(background: Background) -> None:
    (background.folder / "minoots.toml").write_text("schema_version = 2\n[gateway]\nport = 99999\n")
    code, told = background.run("start", "--data-dir", "elsewhere")
    assert code == 2
    assert "gateway.port" in told
