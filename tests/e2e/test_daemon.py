"""`minoots start`, `status`, `restart`, `stop`: the stack in the background."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from dev_stacks import MINOOTS, environment, run

from minoots_workers.host_identity import identity_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


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


def test_it_returns_when_capture_has_begun_or_says_why_not(background: Background, tmp_path: Path) -> None:
    file = background.folder / "minoots.toml"
    chats = tmp_path / "chats"
    chats.mkdir()
    roots = json.dumps([f"claude={chats}"])
    capture = f'[capture]\nenabled = true\nproviders = ["claude"]\nhost = "ada"\nroots = {roots}\n'
    file.write_text(file.read_text() + capture)
    code, told = background.run("start")
    assert code == 0, told
    found = json.loads(background.run("status", "--json")[1])
    assert [(host["host"], host["alive"]) for host in found["hosts"]] == [("ada", True)]
    assert found["problems"] == []
    # Another one on this machine, with the same records and the same name.
    second = {
        "MINOOTS_DATA_DIR": str(tmp_path / "second"),
        "MINOOTS_RECORDS__URL": f"sqlite:///{background.folder}/.minoots/minoots.db",
        "MINOOTS_TEMPORAL__ADDRESS": background.known()["addresses"]["temporal_address"],
        "MINOOTS_CAPTURE__HOST": "ada",
        "MINOOTS_ENVIRONMENT": "dev",
    }
    done = subprocess.run(
        [MINOOTS, "watch"],
        env=environment() | second,
        cwd=chats,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "another machine captures as ada" in done.stderr + done.stdout
    assert done.returncode == 1
    assert background.run("stop")[0] == 0
    with identity_of(background.folder / ".minoots"):
        code, told = background.run("start")
        assert code == 1, told
        assert "nobody captures: another process captures with the data directory" in told
        found = json.loads(background.run("status", "--json")[1])
        assert found["state"] == "running", "the rest goes on"


def test_what_cannot_start_says_why(background: Background) -> None:
    (background.folder / "minoots.toml").write_text("schema_version = 2\n[gateway]\nport = 99999\n")
    code, told = background.run("start", "--data-dir", "elsewhere")
    assert code == 2
    assert "gateway.port" in told
