"""Starting in the background what does not end when it is asked to."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from minoots_workers.embedded import daemon
from minoots_workers.embedded.daemon import Daemon
from minoots_workers.embedded.faults import StackFault

DEAF = f"""#!{sys.executable}
import os, pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({{!r}}).write_text(str(os.getpid()))
print("{{{{}}}}", flush=True)
signal.pause()
"""


def test_what_does_not_end_by_itself_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, noted = tmp_path / "minoots", tmp_path / "pid"
    program.write_text(DEAF.format(str(noted)))
    program.chmod(0o700)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(daemon, "STOPPED_WITHIN", 0.1)
    write = daemon.write_whole

    def full(file: Path, text: str) -> None:
        if file.name == "daemon.json":
            raise OSError(28, "No space left on device")
        write(file, text)

    monkeypatch.setattr(daemon, "write_whole", full)
    with pytest.raises(StackFault, match="it was stopped again"):
        Daemon(tmp_path / "data").start([])
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)
