"""Firecracker, by a stand-in that holds every request against its published API: none has really run here."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from firecracker_stand_in import faults

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import Ended, NeverStarted, Program, Sandbox
from minoots_activities.vms import firecracker, images, machines
from minoots_activities.vms.firecracker import Firecracker
from minoots_activities.vms.firecracker_api import Request, requests
from minoots_activities.vms.guest import VERSION
from minoots_activities.vms.starting import tried_by

pytestmark = pytest.mark.timeout(300)

STAND_IN = Path(__file__).parents[1] / "support" / "firecracker_stand_in.py"
LIMITS = Limits(memory_mb=64, disk_mb=16, cpus=1.5)
DEADLINE = 120.0


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Firecracker:
    """What starts machines of the stand-in, with an image that has the three files."""
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("mkfs.ext4 (package e2fsprogs) is not here, which makes disks")
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "asked"))
    folder = tmp_path / "image"
    folder.mkdir()
    for name, data in (("vmlinuz", b"z"), ("vmlinux", b"\x7fELF kernel"), ("initramfs", b"files")):
        (folder / name).write_bytes(data)
    images.describe(folder, images.About(VERSION, "x86_64", {}, images.sums(folder)))
    binary = tmp_path / "firecracker"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    binary.chmod(0o755)
    device = tmp_path / "kvm"
    device.touch()
    return Firecracker(folder, str(binary), device, within=DEADLINE)


def asked(folder: Path) -> list[tuple[str, str, Any]]:
    """What the stand-in was asked for."""
    return [tuple(json.loads(line)) for line in (folder / "asked").read_text().splitlines()]


async def said_by(machine: Sandbox, *command: str) -> bytes:
    heard = bytearray()

    async def hear(stream: str, data: bytes) -> None:
        heard.extend(data)

    ran = await machine.exec(Program(command, seconds=DEADLINE), hear)
    assert ran.ended is Ended.EXITED
    return bytes(heard)


async def test_a_machine_is_asked_for_as_the_api_says_and_its_guest_is_ours(
    engine: Firecracker, tmp_path: Path
) -> None:
    machine = await machines.Machines(engine).create("stand-in", LIMITS)
    folder, process = machine._folder, psutil.Process(machine._machine.process.pid)
    try:
        assert machine.held_by["accelerator"] == "kvm"
        assert machine.held_by["engine"] == "firecracker 1.17.0 (not exercised on real hardware)"
        assert await said_by(machine, "echo", "words") == b"words\n"
        # A program in it could knock, too, by the socket that the host has for the guest.
        assert await said_by(machine, "knock") == b"shut\n"
        assert "a kernel says hello" in machine.console()
        by_path = {path: body for _, path, body in asked(tmp_path)}
        assert by_path["/machine-config"]["vcpu_count"] == 2
        assert by_path["/machine-config"]["mem_size_mib"] == 64 + 96
        assert "minoots_port=vsock" in by_path["/boot-source"]["boot_args"]
        assert Path(by_path["/drives/work"]["path_on_host"]).stat().st_size == 16 * 1024 * 1024
        assert all(not faults(*one) for one in asked(tmp_path))
        assert asked(tmp_path)[-1] == ("PUT", "/actions", {"action_type": "InstanceStart"})
    finally:
        await machine.destroy()
    await machine.destroy()
    assert not process.is_running()
    assert not folder.exists()


async def test_a_program_is_killed_when_its_time_is_over(engine: Firecracker) -> None:
    machine = await machines.Machines(engine).create("stand-in", LIMITS)

    async def hear(stream: str, data: bytes) -> None:
        raise AssertionError("it says nothing")

    try:
        ran = await machine.exec(Program(("sleep", "1000"), seconds=0.2), hear)
        assert (ran.ended, ran.signal) == (Ended.TIMED_OUT, signal.SIGKILL)
    finally:
        await machine.destroy()


def test_every_request_fits_the_published_api_and_what_does_not_is_seen() -> None:
    here = Path("/x")
    sent = requests(
        kernel=here,
        initramfs=here,
        boot_line="quiet",
        memory_mb=160,
        processors=32,
        disk=here,
        way=here,
        root=here,
    )
    assert [one.path for one in sent if one.body.get("is_read_only")] == ["/drives/root"]
    assert [faults("PUT", one.path, one.body) for one in sent] == [""] * len(sent)
    for wrong in (
        Request("/machine-config", {"vcpu_count": 33, "mem_size_mib": 1}),
        Request("/machine-config", {"mem_size_mib": 1}),
        Request("/vsock", {"guest_cid": 2, "uds_path": "/x"}),
        Request("/boot-source", {"kernel_image_path": "/x", "more": 1}),
        Request("/drives/a", {"drive_id": "b", "is_root_device": False}),
        Request("/actions", {"action_type": "Restart"}),
        Request("/nothing", {}),
    ):
        assert faults("PUT", wrong.path, wrong.body), wrong


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("not begin", "no KVM here"),
        ("refuse /vsock", r"PUT /vsock was refused \(400\): not today"),
        ("die", "console ends: a kernel says hello"),
    ],
)
async def test_a_machine_that_does_not_start_says_why_and_nothing_is_left(
    engine: Firecracker, monkeypatch: pytest.MonkeyPatch, does: str, says: str
) -> None:
    monkeypatch.setenv("STAND_IN_DOES", does)
    with pytest.raises(NeverStarted, match=says):
        await machines.Machines(engine).create("stand-in", LIMITS)
    assert not [one for one in psutil.Process().children(recursive=True) if "--api-sock" in one.cmdline()]


async def test_a_machine_whose_guest_does_not_come_is_given_up(
    engine: Firecracker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STAND_IN_DOES", "stay dark")
    impatient = Firecracker(engine.image, engine._binary, tmp_path / "kvm", within=5)
    with pytest.raises(NeverStarted, match="within 5 s"):
        await machines.Machines(impatient).create("stand-in", LIMITS)


async def test_a_start_of_which_nothing_came_leaves_no_door_open(
    engine: Firecracker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[Path] = []
    listen = asyncio.start_unix_server

    async def noted(knock: Any, path: Path) -> asyncio.Server:
        opened.append(path)
        return await listen(knock, path)

    async def no_more(*_: object) -> None:
        raise OSError(11, "no more processes")

    monkeypatch.setattr(asyncio, "start_unix_server", noted)
    monkeypatch.setattr(firecracker.programs, "start", no_more)
    with pytest.raises(OSError, match="no more processes"):
        await engine.start(LIMITS, tmp_path)
    [door] = opened
    assert not door.exists()
    with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
        await asyncio.open_unix_connection(door)


async def test_what_is_missing_is_said(engine: Firecracker, tmp_path: Path) -> None:
    assert await engine.missing() == ()
    (engine.image / "vmlinux").unlink()
    lacks = await Firecracker(engine.image, "no-such-firecracker", tmp_path / "none").missing()
    assert any("no-such-firecracker" in one for one in lacks)
    assert any("is not there, or not for this user: Firecracker takes KVM" in one for one in lacks)
    assert any("vm build-image" in one for one in lacks)
    images.describe(engine.image, images.About(VERSION, "x86_64", {}, images.sums(engine.image)))
    assert any("has no unpacked kernel" in one for one in await engine.missing())


async def test_more_processors_than_firecracker_gives_are_refused(
    engine: Firecracker, tmp_path: Path
) -> None:
    with pytest.raises(NeverStarted, match="no more than 32"):
        await engine.start(Limits(cpus=33), tmp_path)


async def test_a_start_that_is_tried_says_what_it_was(engine: Firecracker) -> None:
    took, held_by = await tried_by(engine)
    assert took > 0
    assert "not exercised" in held_by["engine"]


OWNER = """
import asyncio, sys
from pathlib import Path
from minoots.contracts.sandboxes import Limits
from minoots_activities.vms.firecracker import Firecracker
from minoots_activities.vms.machines import Machines

async def main():
    engine = Firecracker(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    machine = await Machines(engine).create("orphan", Limits(memory_mb=64, disk_mb=16))
    print(machine._machine.process.pid, machine._folder, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.usefixtures("own_folder")
async def test_none_outlives_a_worker_that_is_killed(engine: Firecracker, tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", OWNER, str(engine.image), engine._binary, str(tmp_path / "kvm")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    async with asyncio.timeout(DEADLINE):
        pid, folder = (await owner.stdout.readline()).decode().split()
    process = psutil.Process(int(pid))
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()
    await asyncio.to_thread(psutil.wait_procs, [process], DEADLINE)
    assert not process.is_running()
    assert Path(folder).exists(), "a killed worker cannot tidy up"
    machines.end_left_behind()
    assert not Path(folder).exists()
