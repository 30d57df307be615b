"""The files of the daemon on a disk that is really full: whole or not there, and it is told."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from misbehaving import SmallDisk, that_is_small

from minoots.errors import Failure, FailureKind
from minoots_activities.capture.registry import Registry
from minoots_platform.settings import TelemetrySettings
from minoots_platform.telemetry import start_logs
from minoots_platform.telemetry.sinks import AuditFile
from minoots_platform.whole_files import write_whole
from minoots_workers.embedded.capture_problems import full_disks
from minoots_workers.embedded.child import Child, Spec
from minoots_workers.embedded.daemon import Daemon
from minoots_workers.embedded.data_dir import DataDir
from minoots_workers.embedded.faults import StackFault
from minoots_workers.embedded.supervisor import Supervisor
from minoots_workers.host_identity import identity_of

ENDS = [sys.executable, "-c", "print('hello')"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with that_is_small(tmp_path / "small") as disk:
        (disk.folder / "logs").mkdir()
        yield disk


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".filler", "logs"}


def test_a_small_file_is_whole_or_as_it_was(disk: SmallDisk) -> None:
    file = disk.folder / "state.json"
    write_whole(file, "before")
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "x" * 100_000)
    assert (file.read_text(), names(disk.folder)) == ("before", {"state.json"})
    disk.empty()
    write_whole(file, "after")
    assert file.read_text() == "after"


def test_nothing_is_started_that_could_not_be_found_again(disk: SmallDisk) -> None:
    disk.fill()
    daemon = Daemon(disk.folder)
    with pytest.raises(StackFault, match="No space left on device\n  Make room"):
        daemon.start([])
    assert daemon.running() is None
    assert not daemon.crashed
    assert names(disk.folder) == set()


def test_a_data_directory_on_a_full_disk_is_refused_and_free_afterwards(disk: SmallDisk) -> None:
    (disk.folder / "lock").touch()
    disk.fill()
    with pytest.raises(StackFault, match="cannot be written: No space left on device\n  Make room"):
        DataDir(disk.folder).__enter__()
    disk.empty()
    with DataDir(disk.folder) as held:
        assert (disk.folder / "lock").read_text() == str(os.getpid())
        disk.fill()
        held.note_server(4711)  # no reason to end what runs
        assert "temporal.pid" not in names(disk.folder)
        disk.empty()
        held.note_server(4711)
        assert (disk.folder / "temporal.pid").read_text() == "4711"


def test_who_a_host_is_is_noted_when_there_is_room(disk: SmallDisk) -> None:
    (disk.folder / "capture-host").touch()
    disk.fill()
    with pytest.raises(Failure, match="No space left on device") as failed, identity_of(disk.folder):
        pass
    assert failed.value.kind is FailureKind.UNAVAILABLE
    disk.empty()
    with identity_of(disk.folder) as identity:
        pass
    with identity_of(disk.folder) as again:
        assert again == identity
    (disk.folder / "capture-host").write_text(identity[:5])
    with identity_of(disk.folder) as anew:
        assert len(anew) == len(identity)


def test_who_a_host_is_waits_for_room_for_the_file_itself(tmp_path: Path) -> None:
    # A disk on which so many files are that none can be added.
    with that_is_small(tmp_path / "small", "2m,nr_inodes=2") as disk:
        filler = disk.folder / "filler"
        filler.touch()
        with pytest.raises(Failure, match="No space left on device") as failed, identity_of(disk.folder):
            pass
        assert failed.value.kind is FailureKind.UNAVAILABLE
        filler.unlink()
        with identity_of(disk.folder) as identity:
            assert identity


def test_the_registry_stays_as_it_was(disk: SmallDisk, tmp_path: Path) -> None:
    registry = Registry(disk.folder / "workspaces.json")
    registry.add("notes", tmp_path / "notes")
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        registry.add("more", tmp_path / "more")
    assert registry.roots() == {"notes": tmp_path / "notes"}
    disk.empty()
    registry.add("more", tmp_path / "more")
    assert set(Registry(disk.folder / "workspaces.json").roots()) == {"notes", "more"}


async def test_children_run_and_are_started_again_without_room_for_their_logs(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.fill()
    with (disk.folder / "logs").joinpath("daemon.log").open("ab", buffering=0) as full:
        stderr = io.TextIOWrapper(full)
        monkeypatch.setattr(sys, "stderr", stderr)
        child = Child(Spec("short", ENDS, needed=False), disk.folder / "logs", verbose=False)
        supervisor = Supervisor([child])
        async with asyncio.timeout(90):
            await supervisor.start(child)
            while not child.given_up:  # it has ended as often as it may
                await asyncio.sleep(0.01)
        supervisor._stop.set()
        await supervisor.run()
        await supervisor.shut_down()
        monkeypatch.undo()
        stderr.detach()


def test_a_line_of_the_audit_log_is_on_a_line_of_its_own(disk: SmallDisk) -> None:
    path = disk.folder / "audit.log"
    formatter = logging.Formatter("%(message)s")
    handler = AuditFile(path)
    handler.setFormatter(formatter)

    def log(text: str) -> None:
        handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))

    log("first")
    disk.fill()
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            log("x" * 200_000)
    disk.empty()
    log("last")
    handler.close()
    *_, torn, last, end = path.read_text().split("\n")
    assert (last, end) == ("last", "")
    assert set(torn) <= {"x"}
    assert path.read_text().startswith("first\n")


def test_a_log_without_room_loses_lines_and_stops_nobody(disk: SmallDisk) -> None:
    disk.fill()
    with (disk.folder / "logs" / "watch.log").open("w") as log:
        with start_logs(TelemetrySettings(), "watch", stream=log):
            for _ in range(3):
                logging.getLogger("anything").warning("x" * 100_000)
            disk.empty()
            logging.getLogger("anything").warning("well again")
    last = (disk.folder / "logs" / "watch.log").read_text().splitlines()[-1]
    assert json.loads(last)["event"] == "well again"


def test_status_tells_of_it(disk: SmallDisk, tmp_path: Path) -> None:
    assert full_disks(disk.folder) == []
    disk.fill()
    [told] = full_disks(disk.folder)
    assert f"the disk of {disk.folder} is full (0 KB are free)" in told
    disk.empty()
    assert full_disks(disk.folder) == []
    assert "No such file" in full_disks(tmp_path / "nothing")[0]
