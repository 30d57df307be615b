"""Machines that go on from the state of another: quick, each its own, and never from what does not fit."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import Program
from minoots_activities.vms import images, qemu
from minoots_activities.vms.guest import VERSION
from minoots_activities.vms.machines import Machines
from minoots_activities.vms.starting import Qemu
from minoots_activities.vms.states import Kind, States

pytestmark = pytest.mark.timeout(600)

SMALL: dict[str, Any] = {"memory_mb": 64, "disk_mb": 16}
OWN = (
    "head -c 16 /dev/urandom | xxd -p; cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id;"
    "hostname; date +%s; df -m /work | tail -1; cat /sys/fs/cgroup/jobs/pids.max; ls /work"
)


async def look(machines: Machines, **limits: Any) -> tuple[str, list[str]]:
    """Start a machine, and return how it started and what it has of its own."""
    machine = await machines.create("state", Limits(**{**SMALL, **limits}))
    told = bytearray()

    async def hear(stream: str, data: bytes) -> None:
        told.extend(data)

    try:
        ran = await machine.exec(Program(("sh", "-c", f"{OWN}; echo kept > mine"), seconds=120), hear)
        assert ran.exit_code == 0, told
        return machine.held_by["start"], told.decode().splitlines()
    finally:
        await machine.destroy()


async def test_machines_of_one_state_share_nothing_that_is_their_own(image: Path, tmp_path: Path) -> None:
    machines = Machines(Qemu(image, states=States(tmp_path, 2)))
    began = int(time.time())
    looks = [
        await look(machines),
        await look(machines),
        await look(machines, disk_mb=32, processes=7),
    ]
    assert [start for start, _ in looks] == ["booted", "restored", "restored"]
    drawn = [told[:4] for _, told in looks]
    for name, *all_of_them in zip(("random", "uuid", "boot_id", "host name"), *drawn, strict=True):
        assert len(set(all_of_them)) == 3, (name, all_of_them)
    for _, told in looks:
        assert began - 1 <= int(told[4]) <= time.time() + 1
    sizes = [int(told[5].split()[1]) for _, told in looks]
    assert sizes[0] == sizes[1] < 17 < sizes[2] < 33
    assert [told[6] for _, told in looks] == ["64", "64", "7"]
    # The folder of each is empty when it begins.
    assert all(len(told) == 7 for _, told in looks)


async def test_a_state_that_is_broken_or_stale_is_told_and_the_machine_comes_up_by_itself(
    image: Path, tmp_path: Path
) -> None:
    states = States(tmp_path, 2)
    loaded = images.load(image, VERSION)
    engine = Qemu(image, states=states)
    machines = Machines(engine)
    accelerator = await engine.chosen.get(qemu.Host.find(), loaded)
    kind = qemu.kind_of(qemu.Host.find(), loaded, accelerator.name, Limits(**SMALL))
    broken, stale = tmp_path / kind.file, tmp_path / Kind(kind.shape, "0" * 32).file
    broken.write_bytes(b"no state of a machine")
    stale.write_bytes(b"of another image")
    with structlog.testing.capture_logs() as told:
        start, _ = await look(machines)
    assert start == "booted"
    assert [(one["event"], one["log_level"]) for one in told] == [
        ("vm.state_stale", "warning"),
        ("vm.state_refused", "warning"),
    ]
    assert told[1]["why"]
    # What was broken has been made anew, and is nobody else's to read.
    assert os.listdir(tmp_path) == [kind.file]
    assert broken.stat().st_size > 1_000_000
    assert broken.stat().st_mode & 0o077 == 0


async def test_a_state_that_cannot_be_kept_is_told_and_holds_nothing_up(image: Path, tmp_path: Path) -> None:
    taken = tmp_path / "states"
    taken.write_text("no folder")
    with structlog.testing.capture_logs() as told:
        start, _ = await look(Machines(Qemu(image, states=States(taken, 2))))
    assert start == "booted"
    assert [one["event"] for one in told] == ["vm.state_not_kept"]
