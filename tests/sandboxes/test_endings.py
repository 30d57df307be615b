"""A sandbox is ended in bounded time, whatever does not answer; what stays of it is told."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest
import structlog

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes import engines, guested
from minoots_activities.sandboxes.channel import Channel
from minoots_activities.sandboxes.engines import ContainerEngine
from minoots_activities.sandboxes.guested import GuestedSandbox


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
