"""The data directory: one instance at a time, no server left over."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from minoots_workers.embedded.data_dir import DataDir
from minoots_workers.embedded.faults import CONFIG, DATA_DIR_HELD, StackFault


def test_a_second_instance_is_refused_with_the_holder(tmp_path: Path) -> None:
    with DataDir(tmp_path / "d"), pytest.raises(StackFault, match=str(os.getpid())) as fault:
        DataDir(tmp_path / "d").__enter__()
    assert fault.value.code == DATA_DIR_HELD


def test_it_is_free_again_afterwards_and_for_its_owner_alone(tmp_path: Path) -> None:
    for _ in range(2):
        with DataDir(tmp_path / "d") as held:
            assert stat.S_IMODE(held.path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackFault) as fault:
        DataDir(tmp_path / "file" / "d").__enter__()
    assert fault.value.code == CONFIG


def test_a_server_of_a_killed_instance_is_ended(tmp_path: Path) -> None:
    program = "import time; time.sleep(60)"
    server = subprocess.Popen([sys.executable, "-c", program, "start-dev", str(tmp_path / "d")])
    try:
        with DataDir(tmp_path / "d") as held:
            held.note_server(server.pid)
        with DataDir(tmp_path / "d"):
            assert server.wait(10) != 0
    finally:
        server.kill()
        server.wait()


def test_a_process_that_merely_has_the_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with DataDir(tmp_path / "d") as held:
            held.note_server(other.pid)
        with DataDir(tmp_path / "d"):
            assert psutil.Process(other.pid).is_running()
            assert other.poll() is None
    finally:
        other.kill()
        other.wait()
