"""What a program in a strong sandbox cannot do, tried one by one."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import platform
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from shut_in import STRONG, Open, Try
from stacks import eventually

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes import seccomp
from minoots_activities.sandboxes.containers import Containers
from minoots_activities.sandboxes.engines import ContainerEngine
from minoots_activities.sandboxes.port import Ended
from minoots_activities.sandboxes.tiers import Tiers

MEMORY = ("/work", "/tmp", "/dev/shm")  # noqa: S108 - of the sandbox
"""Folders that can be written."""
pytestmark = pytest.mark.parametrize("tier", STRONG)


async def test_files_of_the_host_are_not_there(open_sandbox: Open, tier: Tier, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    box = await open_sandbox(tier)
    for path in (
        str(secret),
        "/etc/shadow",
        "/etc/sudoers",
        "/root",
        "/home",
        "/var",
        "/opt",
        "/mnt",
        "/srv",
    ):
        said = await box.sh(f"cat {path} || ls {path}")
        assert said.ran.exit_code != 0, path
        assert "of the host" not in said.all
    said = await box.sh("cat /etc/passwd; id -u")
    assert said.out.split()[-1] == ("1000" if tier is Tier.BUBBLEWRAP else "65534")
    ours = set(Path("/etc/passwd").read_text().splitlines())
    root = {"root:x:0:0::/:/bin/sh"}  # of the tests' own image
    assert not ours & (set(said.out.splitlines()) - root)


async def test_nothing_outside_can_be_written(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    for path in ("/new", "/usr/new", "/bin/new", "/etc/new", "/etc/passwd", "/dev/new", "/run/guest.py"):
        assert (await box.sh(f"echo x > {path}")).ran.exit_code != 0, path
    for folder in MEMORY:
        assert (await box.sh(f"echo x > {folder}/new")).ran.exit_code == 0, folder


async def test_links_lead_nowhere(open_sandbox: Open, tier: Tier, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    box = await open_sandbox(tier)
    said = await box.sh(
        f"ln -s {secret} a; ln -s ../../../../../../..{secret} b; ln -s /proc/1/root{secret} c;"
        f"ln -s /proc/self/cwd/../..{secret} d; cat a b c d; cp -L a b c d /tmp"
    )
    assert "of the host" not in said.all


async def test_devices_are_the_harmless_ones(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh("cd /dev; for one in *; do test -b $one && echo block $one; done; ls")
    assert "block" not in said.out
    for name in ("kvm", "mem", "kmsg", "fuse", "loop-control", "vsock", "net"):
        assert name not in said.out.split(), name
    made = await box.sh("mknod /tmp/disk b 254 0 || mknod /tmp/mem c 1 1")
    assert made.ran.exit_code != 0


async def test_proc_has_only_its_own_processes_and_cannot_be_written(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh("ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline | tr '\\0' ' '")
    assert int(said.out.split()[0]) < 10
    assert "guest.py" in said.out
    for path in ("sysrq-trigger", "sys/kernel/hostname", "sys/kernel/core_pattern", "sys/vm/swappiness"):
        assert (await box.sh(f"echo 1 > /proc/{path}")).ran.exit_code != 0, path
    for path in ("kcore", "kmsg", "1/mem"):
        assert (await box.sh(f"head -c 1 /proc/{path}")).out == "", path


async def test_signals_do_not_reach_the_host(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh(f"kill -0 {os.getpid()}")
    assert said.ran.exit_code != 0
    # All that it may signal, its guest and itself included: the guest survives, for it is the first process.
    await box.sh("kill -9 -1")
    assert (await box.sh("echo alive")).out == "alive\n"


async def test_a_fork_bomb_stays_inside(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier, processes=32)
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    running = asyncio.create_task(box.python(bomb, seconds=1.5))
    most = 0
    while not running.done():
        with contextlib.suppress(psutil.NoSuchProcess):
            most = max(most, len(box.processes()))
        await asyncio.sleep(0.05)
    said = await running
    assert said.ran.ended is Ended.TIMED_OUT
    assert 1 < most <= 40
    assert (await box.sh("echo alive")).out == "alive\n"


async def test_a_memory_bomb_is_killed(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier, memory_mb=128)
    said = await box.python("x = []\nwhile True:\n    x.append(b'x' * 8_000_000)")
    if box.sandbox.held_by["memory"] == "cgroup":
        assert said.ran.ended is Ended.OUT_OF_MEMORY, said
    else:
        assert "MemoryError" in said.err
    assert (await box.sh("echo alive")).out == "alive\n"


async def test_bombs_stay_inside_without_control_groups_too(
    open_sandbox: Open, tier: Tier, tiers: Tiers
) -> None:
    await open_sandbox(tier)
    if tier is Tier.CONTAINER:
        lacks = await Containers(None, ContainerEngine(), ("some/image",)).missing()
        assert any("control groups that hold memory cannot be written" in one for one in lacks)
        return
    weaker = Tiers(vm_image=Path("none"), use_cgroups=False)
    sandbox = await weaker.create(tier, "test", Limits(time="30s", memory_mb=256, processes=32))
    try:
        assert sandbox.held_by["processes"] == sandbox.held_by["memory"] == "rlimit"
        box = Try(sandbox)
        forks = "import os\ntry:\n    while os.fork(): pass\n    os.read(0, 1)\nexcept OSError: print('full')"
        assert "full" in (await box.python(forks, seconds=5)).out
        said = await box.python("x = []\nwhile True:\n    x.append(b'x' * 8_000_000)")
        assert "MemoryError" in said.err
    finally:
        await sandbox.destroy()


async def test_a_disk_cannot_be_filled(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier, disk_mb=16, memory_mb=512)
    for folder in MEMORY:
        said = await box.sh(
            f"cd {folder}; i=0; while head -c 4000000 /dev/zero > $i; do i=$((i+1)); done;"
            "du -sm . | cut -f1; rm -f *"
        )
        assert int(said.out) <= 17, folder


CONNECTING = """
import socket
for where in [("127.0.0.1", {port}), ("192.0.2.1", 80), ("169.254.169.254", 80)]:
    try:
        socket.create_connection(where, 2)
        print("connected", where)
    except OSError as error:
        print(type(error).__name__)
try:
    print("known", socket.getaddrinfo("example.org", 80))
except OSError:
    print("unknown")
"""


async def test_there_is_no_network_and_no_name(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        said = await box.python(CONNECTING.format(port=port))
    assert "connected" not in said.out
    assert said.out.endswith("unknown\n")
    assert (await box.sh("ls /sys/class/net || cut -d: -f1 /proc/net/dev | tail -n +3")).out.split() == ["lo"]


@pytest.fixture
async def abstract() -> AsyncIterator[str]:
    """A socket of the host in the abstract namespace, which no file system hides."""
    name = f"minoots-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        yield name


async def test_sockets_of_the_host_are_not_reached(open_sandbox: Open, tier: Tier, abstract: str) -> None:
    box = await open_sandbox(tier)
    said = await box.python(
        f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{abstract}'); print('connected')"
    )
    assert "connected" not in said.out
    for family in ("AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"):
        said = await box.python(
            f"import socket; socket.socket(socket.{family}, socket.SOCK_RAW); print('made')"
        )
        assert "made" not in said.out, family


async def test_no_program_gains_rights(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh("grep -E '^(NoNewPrivs|CapEff|CapPrm|CapBnd|Seccomp):' /proc/self/status")
    found = dict(line.split(":\t") for line in said.out.splitlines())
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0
    for attempt in ("chown 0 /work", "su -c id", "mount -t tmpfs x /tmp", "unshare -r id", "chroot / id"):
        assert (await box.sh(attempt)).ran.exit_code != 0, attempt


CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for name, number, arguments in {calls!r}:
    ctypes.set_errno(0)
    answer = libc.syscall(number, *[ctypes.c_long(one) for one in arguments])
    print(name, answer, errno.errorcode.get(ctypes.get_errno()))
"""


async def test_calls_around_the_walls_are_refused(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    column = 0 if platform.machine() == "x86_64" else 1
    calls = [
        (name, numbers[column], [0, 0, 0, 0, 0])
        for name, numbers in seccomp.DENIED.items()
        if numbers[column] is not None
    ]
    calls.append(("clone", seccomp.LOOKED_INTO["clone"][column], [0x10000000 | 17, 0, 0, 0, 0]))
    # To outlive whoever has started it: no signal then, or one that it may leave unheeded.
    prctl = seccomp.LOOKED_INTO["prctl"][column]
    calls += [(f"prctl-{number}", prctl, [1, number, 0, 0, 0]) for number in (0, 15, 64)]
    said = await box.python(CALLS.format(calls=calls))
    answers = {line.split()[0]: line.split()[1:] for line in said.out.splitlines()}
    assert answers == {name: ["-1", "EPERM"] for name, _, _ in calls}
    usual = [("prctl", prctl, [1, 9, 0, 0, 0]), ("name", prctl, [15, 0, 0, 0, 0])]
    said = await box.python(CALLS.format(calls=usual))
    assert said.out.split() == ["prctl", "0", "None", "name", "-1", "EFAULT"]
    newer = [("clone3", seccomp.LOOKED_INTO["clone3"][column], [0] * 5), ("later", 4000, [0] * 5)]
    said = await box.python(CALLS.format(calls=newer))
    assert said.out.split() == ["clone3", "-1", "ENOSYS", "later", "-1", "ENOSYS"]


async def test_the_numbers_of_calls_are_those_of_the_library(tier: Tier) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp2 is not installed, which knows the numbers")
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    for name, numbers in {**seccomp.DENIED, **seccomp.LOOKED_INTO}.items():
        for arch, number in zip((0xC000003E, 0xC00000B7), numbers, strict=True):
            found = library.seccomp_syscall_resolve_name_arch(arch, name.encode())
            assert (found if found >= 0 else None) == number, (name, hex(arch))


KILLED = """
import asyncio, sys
from pathlib import Path
from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.port import Program
from minoots_activities.sandboxes.tiers import Tiers

async def main():
    tiers = Tiers(vm_image=Path("none"), allow_process=True, images=sys.argv[3:])
    sandbox = await tiers.create(Tier(sys.argv[1]), "killed", Limits(time="10m"))
    async def hear(stream, data):
        pass
    await sandbox.exec(Program(("sh", "-c", f"setsid sleep {sys.argv[2]} & sleep {sys.argv[2]}")), hear)

asyncio.run(main())
"""


def sleepers(seconds: str) -> list[psutil.Process]:
    """Programs of the sandbox that run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline() == ["sleep", seconds] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("weak_too", [*STRONG, Tier.PROCESS])
async def test_kill_9_of_the_worker_leaves_nothing(
    tier: Tier, weak_too: Tier, open_sandbox: Open, images: tuple[str, ...]
) -> None:
    await open_sandbox(weak_too)
    # Of this test alone: others run beside it.
    seconds = f"97.{os.getpid()}{len(weak_too)}"
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, weak_too.value, seconds, *images
    )
    try:

        async def running() -> list[psutil.Process]:
            return await asyncio.to_thread(sleepers, seconds)

        left = await eventually(running, lambda found: len(found) == 2, 150)
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
    assert alive == []
    if weak_too is Tier.CONTAINER:

        async def containers() -> list[str]:
            _, told = await ContainerEngine().ask("ps", "--all", "--format", "{{.Names}}")
            return [name for name in told.split() if f"-{worker.pid}-" in name]

        await eventually(containers, lambda found: not found, 60)
