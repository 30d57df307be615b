"""Machines that really start: what runs in them, what they may not, and that none is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.port import (
    Ended,
    NeverStarted,
    OutcomeUnknown,
    Program,
    Ran,
    Sandbox,
    Stream,
)
from minoots_activities.vms import accelerators, images, machines, qemu
from minoots_activities.vms.faults import ImageFault
from minoots_activities.vms.guest import VERSION
from minoots_activities.vms.starting import Qemu

pytestmark = pytest.mark.timeout(300)

LIMITS = Limits(memory_mb=64, disk_mb=16, output_kb=64, processes=32)
DEADLINE = 120.0
"""Seconds that nothing here needs, unless something is broken."""


class Heard:
    """What a program wrote."""

    def __init__(self) -> None:
        self.stdout = b""
        self.stderr = b""

    async def __call__(self, stream: Stream, data: bytes) -> None:
        setattr(self, stream, getattr(self, stream) + data)


@pytest.fixture(scope="session")
def engine(image: Path) -> Qemu:
    """What starts machines."""
    return Qemu(image)


@pytest.fixture(scope="session")
async def machine(engine: Qemu) -> AsyncIterator[Sandbox]:
    """A machine for all tests that leave it as it was."""
    machine = await machines.Machines(engine).create("shared", LIMITS)
    yield machine
    await machine.destroy()


async def run(
    sandbox: Sandbox, *command: str, stdin: bytes = b"", seconds: float = DEADLINE
) -> tuple[Ran, bytes, bytes]:
    heard = Heard()
    ran = await sandbox.exec(Program(command, stdin=stdin, seconds=seconds), heard)
    return ran, heard.stdout, heard.stderr


async def test_a_program_runs_as_nobody_in_particular_with_no_way_out(machine: Sandbox) -> None:
    assert machine.tier is Tier.VM
    _, out, _ = await run(machine, "sh", "-c", "id -u; pwd; ls /sys/class/net; grep CapEff /proc/self/status")
    assert out.split() == [b"1000", b"/work", b"lo", b"CapEff:", b"0" * 16]


async def test_output_errors_and_exit_code_come_back(machine: Sandbox) -> None:
    ran, out, err = await run(machine, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (ran.ended, ran.exit_code, out, err) == (Ended.EXITED, 7, b"out\n", b"err\n")


async def test_a_megabyte_of_input_arrives_whole_and_unread_input_holds_nothing_up(machine: Sandbox) -> None:
    data = os.urandom(1_000_000)
    _, out, _ = await run(machine, "sha256sum", stdin=data)
    assert out.split()[0].decode() == hashlib.sha256(data).hexdigest()
    ran, _, _ = await run(machine, "true", stdin=data)
    assert ran.exit_code == 0


async def test_what_cannot_be_started_says_why(machine: Sandbox) -> None:
    with pytest.raises(NeverStarted, match="no program 'nothing-like-it'"):
        await run(machine, "nothing-like-it")
    with pytest.raises(NeverStarted, match="cannot be run"):
        await run(machine, "/etc/passwd")


async def test_time_output_and_memory_have_limits_and_the_machine_goes_on(machine: Sandbox) -> None:
    ran, _, _ = await run(machine, "sleep", "1000", seconds=0.5)
    assert (ran.ended, ran.signal) == (Ended.TIMED_OUT, signal.SIGKILL)
    ran, out, _ = await run(machine, "yes")
    assert (ran.ended, len(out)) == (Ended.TOO_MUCH_OUTPUT, 64 * 1024)
    ran, _, _ = await run(machine, "sh", "-c", "x=aaaa; while :; do x=$x$x; done")
    assert ran.ended is Ended.OUT_OF_MEMORY
    ran, _, err = await run(machine, "sh", "-c", "dd if=/dev/zero of=big bs=1M count=64; rm big")
    assert b"No space left" in err
    _, out, _ = await run(machine, "echo", "well")
    assert out == b"well\n"


async def test_what_a_program_leaves_running_is_ended_with_it(machine: Sandbox) -> None:
    ran, _, _ = await run(machine, "sh", "-c", "setsid sleep 1000 & setsid sh -c 'sleep 999 &'; exit 0")
    assert ran.exit_code == 0
    _, out, _ = await run(machine, "ps", "-o", "args")
    assert b"sleep" not in out


async def test_a_fork_bomb_ends_by_its_time(machine: Sandbox) -> None:
    ran, _, _ = await run(machine, "sh", "-c", "b() { b | b & }; b; sleep 1000", seconds=3)
    assert ran.ended is Ended.TIMED_OUT
    _, out, _ = await run(machine, "ps", "-o", "args")
    assert b"sh -c" not in out


async def test_a_cancelled_program_is_gone(machine: Sandbox) -> None:
    running = asyncio.create_task(run(machine, "sh", "-c", "echo begun; sleep 1000"))
    async with asyncio.timeout(DEADLINE):
        while b"sleep" not in (await run(machine, "ps", "-o", "args"))[1]:
            pass
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert b"sleep" not in (await run(machine, "ps", "-o", "args"))[1]


async def test_the_accelerator_was_tried_and_is_told(machine: Sandbox, engine: Qemu) -> None:
    chosen = await engine.chosen.get(qemu.Host.find(), images.load(engine.image, VERSION))
    assert chosen.name in ("kvm", "hvf", "tcg")
    assert machine.held_by["accelerator"] == chosen.name
    assert set(chosen.refused) == set(
        accelerators.candidates()[: accelerators.candidates().index(chosen.name)]
    )
    assert all(chosen.refused.values())


async def test_a_machine_that_is_destroyed_leaves_nothing(image: Path) -> None:
    machine = await machines.Machines(Qemu(image)).create("short", LIMITS)
    process = psutil.Process(machine._machine.process.pid)
    folder = machine._folder
    running = asyncio.create_task(run(machine, "sleep", "1000"))
    async with asyncio.timeout(DEADLINE):
        while b"sleep" not in (await run(machine, "ps", "-o", "args"))[1]:
            pass
    await machine.destroy()
    await machine.destroy()
    with pytest.raises(OutcomeUnknown, match="ended before"):
        await running
    assert not process.is_running()
    assert not folder.exists()


async def test_a_machine_that_cannot_start_says_what_its_console_said(image: Path, tmp_path: Path) -> None:
    host = qemu.Host.find()
    broken = tmp_path / "image"
    broken.mkdir()
    (broken / images.KERNEL).write_bytes((image / images.KERNEL).read_bytes())
    (broken / images.INITRAMFS).write_bytes(b"no archive")
    images.describe(broken, images.About(1, "x86_64", {}, images.sums(broken)))
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(NeverStarted, match=r"console ends(?s:.*)panic"):
        await qemu.boot(host, images.load(broken, 1), "tcg", LIMITS, folder, 60)


async def test_what_is_missing_is_said_and_nothing_is_started(tmp_path: Path) -> None:
    given = machines.Machines(Qemu(tmp_path / "none", "no-such-qemu"))
    lacks = await given.missing()
    assert any("no-such-qemu" in one for one in lacks)
    assert any("minoots vm build-image" in one for one in lacks)
    with pytest.raises(NeverStarted, match="no-such-qemu"):
        await given.create("x", LIMITS)
    with pytest.raises(ImageFault, match="no-such-qemu"):
        qemu.Host.find("no-such-qemu")


OWNER = """
import asyncio, sys
from pathlib import Path
from minoots.contracts.sandboxes import Limits
from minoots_activities.vms.machines import Machines
from minoots_activities.vms.starting import Qemu

async def main():
    machine = await Machines(Qemu(Path(sys.argv[1]))).create("orphan", Limits(memory_mb=64, disk_mb=16))
    print(machine._machine.process.pid, machine._folder, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.usefixtures("own_folder")
async def test_no_machine_outlives_a_worker_that_is_killed(image: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(image), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    async with asyncio.timeout(DEADLINE):
        pid, folder = (await owner.stdout.readline()).decode().split()
    process = psutil.Process(int(pid))
    assert "qemu" in process.name()
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()
    await asyncio.to_thread(psutil.wait_procs, [process], DEADLINE)
    assert not process.is_running()
    assert Path(folder).exists(), "a killed worker cannot tidy up"
    machines.end_left_behind()
    assert not Path(folder).exists()
