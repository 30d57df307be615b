"""What is wrong with capture on this machine, in words for whoever asks how it stands.

Changes nothing, and looks at nothing but how much room there is.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from minoots.contracts.sessions import CaptureStatus
from minoots_platform.settings import CaptureSettings

_WITHOUT_KEY: Final = "dev"
"""The tenant of whoever asks from this machine without a key."""

_LITTLE: Final = 1 << 20
"""Bytes of free space with which next to nothing can be kept."""


def full_disks(data_dir: Path) -> list[str]:
    """Return whether the disk of the data directory is full: then nobody else can tell it."""
    try:
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        return [f"the data directory {data_dir} cannot be looked at: {error.strerror}"]
    if free >= _LITTLE:
        return []
    return [
        f"the disk of {data_dir} is full ({free // 1024} KB are free): nothing can be kept. Make room; "
        "everything goes on by itself then, and nothing is lost"
    ]


def problems_of(
    capture: CaptureSettings, status: CaptureStatus, data_dir: Path, *, keyed: bool = False
) -> list[str]:
    """Return what is wrong, each with what to do about it.

    ``status`` is what the gateway tells whoever asks; ``keyed`` says that it was asked with an API key.
    """
    problems = []
    if capture.enabled and not keyed and capture.tenant != _WITHOUT_KEY:
        problems.append(
            f"this machine captures for {capture.tenant}, and this is what is captured for {_WITHOUT_KEY}: "
            f"set MINOOTS_API_KEY to a key of {capture.tenant} (minoots keys create), or capture.tenant to "
            f"{_WITHOUT_KEY}"
        )
    elif capture.enabled and not any(host.alive for host in status.hosts):
        problems.append(
            "capture is enabled, but nobody captures: minoots restart begins it again; "
            f"the log is {data_dir / 'logs' / 'watch.log'}"
        )
    for host in status.hosts:
        told = host.status
        wrong = [told.get("problem"), *told.get("troubles", ()), *told.get("workspaces", ())]
        problems += [f"{host.host}: {one}" for one in dict.fromkeys(wrong) if one]
    return problems
