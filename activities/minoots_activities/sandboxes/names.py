"""Names of what a sandbox has on the machine while it lives.

They tell whose it is, so that others see when that one is dead.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

PREFIX: Final = "minoots-sandbox-"
_NAME: Final = re.compile(rf"^{PREFIX}(?P<pid>[0-9]+)-(?P<born>[0-9]+)-")


def name_of(sandbox: str) -> str:
    """Return a new name for what belongs to a sandbox of this process."""
    pid = os.getpid()
    return f"{PREFIX}{pid}-{_born(pid)}-{sandbox}-{secrets.token_hex(4)}"


def is_left_behind(name: str) -> bool:
    """Tell whether the process that made something of this name is no more."""
    found = _NAME.match(name)
    return found is not None and _born(int(found["pid"])) != int(found["born"])


def _born(pid: int) -> int:
    """Return when a process began, in clock ticks since the machine did; 0 where that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        # No /proc at all: then only whether it runs can be told.
        return 0 if Path("/proc/self").exists() or not _runs(pid) else 1
    return int(stat.rpartition(b")")[2].split()[19])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
