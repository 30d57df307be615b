"""A machine that has begun and cannot be noted is ended: nobody would find it again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from minoots.contracts.sandboxes import Limits
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.vms import programs
from minoots_activities.vms.console import Console
from minoots_activities.vms.engines import Engine, Started
from minoots_activities.vms.guest import Guest
from minoots_activities.vms.machines import Machines


class Program:
    """A program of this host in place of a machine."""

    guest: Guest
    console: Console

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def end(self) -> None:
        await programs.end(self.process)


class Full(Engine):
    """Starts something, in a folder in which nobody can write down what."""

    started: Program | None = None
    folder: Path | None = None

    async def missing(self) -> tuple[str, ...]:
        return ()

    async def start(self, limits: Limits, folder: Path, root: Path | None = None) -> Started:
        self.folder = folder
        (folder / "pid").mkdir()
        command = (sys.executable, "-c", "import time; time.sleep(600)")
        self.started = Program(await programs.start(command))
        return Started(self.started, {})


async def test_a_machine_whose_number_cannot_be_kept_is_ended() -> None:
    engine = Full()
    try:
        with pytest.raises(NeverStarted, match="cannot be written"):
            await Machines(engine).create("full", Limits())
        assert engine.started is not None
        assert engine.folder is not None
        assert engine.started.process.returncode is not None
        assert not engine.folder.exists()
    finally:
        if engine.started is not None:
            await engine.started.end()
