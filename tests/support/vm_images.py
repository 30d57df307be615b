"""One image of a machine for all tests of a run, however many processes share the run."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from minoots_activities.vms import building, images, qemu
from minoots_activities.vms.faults import ImageFault
from minoots_activities.vms.guest import VERSION


def shared_folder(folders: pytest.TempPathFactory) -> Path:
    """Return the folder of the whole run: each of its processes has one of its own below it."""
    own = folders.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own


def image_for(run: Path) -> Path:
    """Return the folder of the image below ``run``; skips where none can be built or run."""
    folder = run / "vm-image"
    with (run / "vm-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = run / "vm-image.refused"
        if refused.exists():
            pytest.skip(refused.read_text())
        try:
            qemu.Host.find()
            try:
                images.load(folder, VERSION)
            except ImageFault:
                if shutil.which("apt-get") is None:
                    raise
                building.build(folder)
        except ImageFault as fault:
            refused.write_text(f"no machines here: {fault}")
            pytest.skip(f"no machines here: {fault}")
    return folder
