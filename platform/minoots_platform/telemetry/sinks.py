"""Where log lines go: the operational stream, and the audit file.

Owns writing whole lines. Must not shape or clean them: they come here finished.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TextIO


class StreamSink(logging.StreamHandler[TextIO]):
    """Writes to the stream given, or to whatever is standard error at the time."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream or sys.stderr)
        self._fixed = stream is not None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if not self._fixed:
            self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # the name is logging's
        """Say that a line was lost, without its content."""
        report_lost(record)


class AuditFile(logging.Handler):
    """Appends to a file that only its owner may read; a line is one write, so processes can share it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Append mode makes the kernel place each write at the end, also with several writers.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._torn = False
        """Whether the last line that was begun has no end."""

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line.

        Raises:
            OSError: when it cannot be written; an action that must be audited must not go on unseen.
        """
        # Behind the beginning of one that found no room comes a line of its own.
        line = b"\n" * self._torn + (self.format(record) + "\n").encode()
        while line:
            written = os.write(self._file, line)
            line = line[written:]
            self._torn = bool(line) and (self._torn or written > 0)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        super().close()


def report_lost(record: logging.LogRecord) -> None:
    """Say on standard error that a line was lost; logging's own report would print what was in it."""
    error = sys.exc_info()[1]
    stderr = sys.__stderr__
    if stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):  # nowhere left to report to
        stderr.write(f"a log line of {record.name} was lost: {type(error).__name__}\n")
