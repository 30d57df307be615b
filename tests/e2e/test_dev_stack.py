"""`minoots dev`: what it says, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dev_stacks
import httpx
import psutil
import pytest
from dev_stacks import DevStack

pytestmark = pytest.mark.e2e

Start = Callable[..., DevStack]


def until(check: Callable[[], object], within: float = 30) -> None:
    """Wait until ``check`` returns something true."""
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_ready_stack_says_where_everything_is(shared_stack: DevStack) -> None:
    ready = shared_stack.ready
    assert set(ready) == {
        "gateway", "docs", "temporal_ui", "temporal_address", "metrics", "data_dir", "pids", "ready_after_s",
        "capture_problem",
    }  # fmt: skip
    assert httpx.get(f"{ready['gateway']}/health").json()["status"] == "alive"
    assert httpx.get(f"{ready['gateway']}/ready").json()["ready"] is True
    assert "Minoots" in httpx.get(ready["docs"]).text
    assert httpx.get(ready["temporal_ui"]).status_code == 200
    assert set(ready["pids"]) == {
        "supervisor",
        "temporal",
        "worker-core",
        "worker-io",
        "worker-jobs",
        "gateway",
    }


def test_one_scrape_shows_our_metrics_and_those_of_temporal(shared_stack: DevStack) -> None:
    timer = {"name": "m", "after": 0.1, "actions": [{"url": "http://127.0.0.1:9/"}]}
    assert httpx.post(f"{shared_stack.url}/v1/timers", json=timer).status_code == 201
    metrics = shared_stack.ready["metrics"]
    until(lambda: "minoots_timers_lateness_seconds_count" in httpx.get(metrics).text)
    text = httpx.get(metrics).text
    assert 'process="gateway"' in text
    assert "temporal_request_latency" in text


@pytest.mark.parametrize("flag", ["--port", "--temporal-port", "--ui-port"])
def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [*dev_stacks.FREE_PORTS, flag, str(port)]
        ended = dev_stacks.run("dev", "--data-dir", str(tmp_path / "d"), *arguments, cwd=tmp_path)
    assert ended.returncode == 3
    assert str(port) in ended.stderr
    assert flag in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "d").glob("*.db")) == []


def test_a_held_data_directory_is_refused(shared_stack: DevStack, tmp_path: Path) -> None:
    held = shared_stack.ready["data_dir"]
    ended = dev_stacks.run("dev", "--data-dir", held, *dev_stacks.FREE_PORTS, cwd=tmp_path)
    assert ended.returncode == 4
    assert str(shared_stack.process.pid) in ended.stderr


def test_an_unreachable_temporal_is_refused(tmp_path: Path) -> None:
    arguments = ["--temporal-address", "127.0.0.1:1", "--port", "0"]
    ended = dev_stacks.run("dev", "--data-dir", str(tmp_path / "d"), *arguments, cwd=tmp_path)
    assert ended.returncode == 5
    assert "127.0.0.1:1" in ended.stderr


def test_a_wrong_setting_is_refused_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "minoots.toml").write_text("schema_version = 2\n[gateway]\nporrt = 1\n")
    ended = dev_stacks.run("dev", cwd=tmp_path)
    assert ended.returncode == 2
    assert "gateway.porrt" in ended.stderr


def test_an_existing_temporal_server_is_used(shared_stack: DevStack, dev_stack: Start) -> None:
    other = dev_stack("--temporal-address", shared_stack.ready["temporal_address"])
    assert other.ready["temporal_ui"] is None
    assert "temporal" not in other.ready["pids"]
    assert answers(f"{other.url}/ready")
    assert other.stop() == 0


def test_sigterm_drains_exits_0_and_leaves_no_process_and_json_is_one_object(dev_stack: Start) -> None:
    stack = dev_stack()
    assert stack.stop() == 0
    assert stack.leftovers() == []
    assert stack.process.stdout is not None
    assert stack.process.stdout.read() == "", "the first line was all of it"
    assert json.dumps(stack.ready)


def test_kill_9_of_the_supervisor_alone_leaves_no_process(dev_stack: Start) -> None:
    stack = dev_stack()
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait(10)
    assert stack.leftovers() == []


@pytest.mark.timeout(600)
def test_every_part_that_dies_is_started_again(dev_stack: Start) -> None:
    stack = dev_stack()
    for part in ("gateway", "worker-core", "worker-io", "temporal"):
        died = stack.pid(part)
        os.kill(died, signal.SIGKILL)
        until(lambda died=died: gone(died))  # type: ignore[misc]
        until(lambda: answers(f"{stack.url}/ready"), 60)
        made = httpx.post(
            f"{stack.url}/v1/timers",
            json={"name": "after", "after": "1h", "actions": [{"url": "http://127.0.0.1:9/"}]},
            timeout=20,
        )
        assert made.status_code == 201, part
        until(lambda part=part: stack.runs(part), 60)  # type: ignore[misc]
    assert stack.stop() == 0


def test_a_part_that_keeps_dying_stops_the_whole_and_shows_its_last_lines(tmp_path: Path) -> None:
    broken = tmp_path / "temporal"
    broken.write_text("#!/bin/sh\necho no disk left >&2\nexit 7\n")
    broken.chmod(0o755)
    process = subprocess.run(
        [dev_stacks.MINOOTS, "dev", *dev_stacks.FREE_PORTS],
        cwd=tmp_path,
        env=dev_stacks.environment() | {"MINOOTS_TEMPORAL__BINARY": str(broken)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert "no disk left" in process.stderr


def test_the_supervisor_stays_light() -> None:
    code = "import sys, minoots_workers.cli.dev; print([m for m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for heavy in ("temporalio", "fastapi", "sqlalchemy", "opentelemetry"):
        assert f"'{heavy}'" not in shown


def test_ctrl_c_ends_it_like_sigterm(dev_stack: Start) -> None:
    stack = dev_stack()
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(60) == 0
