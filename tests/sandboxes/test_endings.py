"""A sandbox is ended in bounded time, whatever does not answer; what stays of it is told."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import psutil
import pytest
import structlog

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes import engines, guest_code, guested
from minoots_activities.sandboxes.channel import Channel
from minoots_activities.sandboxes.engines import ContainerEngine
from minoots_activities.sandboxes.guested import GuestedSandbox
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.tiers import Tiers


async def test_a_client_of_an_engine_that_waits_for_ever_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_BY_ITSELF", "_KILLED"):
        monkeypatch.setattr(guested, name, 0.2)
    # Its container is dead, and nobody tells it.
    client = await asyncio.create_subprocess_exec("sleep", "600")
    ours, theirs = socket.socketpair()
    sandbox = GuestedSandbox(
        Tier.CONTAINER, Limits(), {}, {}, client, Channel(ours), None, {}, kill=lambda: None
    )
    with theirs, structlog.testing.capture_logs() as told:
        async with asyncio.timeout(60):
            await sandbox.destroy()
            assert await client.wait() == -signal.SIGKILL
    assert told == []


TAKEN_OVER = """
import ctypes, signal, socket, sys, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_IGN)
sock = socket.socket(fileno=int(sys.argv[1]))
sock.sendall(b'{"ready": 1}\\n')
while True:
    time.sleep(60)
"""


async def test_a_guest_that_was_taken_over_and_wants_to_stay_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program may write into the memory of its guest: what that does then is a stranger's."""
    guest = tmp_path / "guest.py"
    guest.write_text(TAKEN_OVER)
    monkeypatch.setattr(guest_code, "GUEST", guest)
    tiers = Tiers(vm_image=Path("none"), use_cgroups=False)
    if lacks := tiers._bubblewrap._lacks():
        pytest.skip("; ".join(lacks))
    # Not asked for by `create`, which would try whether there are namespaces here, by the guest.
    try:
        sandbox = await tiers._bubblewrap.create("stays", Limits())
    except NeverStarted as failure:
        pytest.skip(failure.detail)
    assert isinstance(sandbox, GuestedSandbox)
    family = [root := psutil.Process(sandbox._process.pid), *root.children(recursive=True)]
    assert len(family) > 1
    await sandbox.destroy()
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 30)
    for one in alive:
        one.kill()
    assert alive == []


def engine(folder: Path, when_it_removes: str) -> ContainerEngine:
    """Something that is called like podman, and does this when it is to remove a container."""
    program = folder / "podman"
    program.write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo podman version 4.3.1;; rm) {when_it_removes};; esac\n'
    )
    program.chmod(0o755)
    return ContainerEngine(str(program))


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("echo the store is locked >&2; exit 125", "the store is locked"),
        ("exec sleep 600", "did not end in"),
        # What it has left holds its pipes.
        ("sleep 600 & wait", "did not end in"),
    ],
    ids=["refuses", "hangs", "leaves something"],
)
async def test_a_container_that_cannot_be_removed_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, does: str, reason: str
) -> None:
    podman = engine(tmp_path, does)
    assert await podman.kind() == "podman"
    monkeypatch.setattr(engines, "_SECONDS", 30.0 if "exit" in does else 0.5)
    monkeypatch.setattr(engines, "_KILLED", 0.5)
    with structlog.testing.capture_logs() as told:
        async with asyncio.timeout(60):
            await podman.remove("minoots-sandbox-1")
    [left] = told
    assert (left["event"], left["what"]) == ("sandbox.left_behind", ["container minoots-sandbox-1"])
    assert reason in left["reason"]
    assert "rm --force minoots-sandbox-1" in left["remedy"]


async def test_a_container_that_is_gone_already_is_no_fault(tmp_path: Path) -> None:
    for does in ("exit 0", "echo Error: No such container: x >&2; exit 1"):
        with structlog.testing.capture_logs() as told:
            await engine(tmp_path, does).remove("x")
        assert told == []
