"""Ending with the process that started us, however it ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

VARIABLE: Final = "MINOOTS_PARENT_FD"
"""Names the reading end of a pipe whose other end only the parent holds."""

_GRACE: Final = 10.0


def watch_parent() -> None:
    """End this process when its parent is gone; without the variable, do nothing."""
    descriptor = os.environ.get(VARIABLE)
    if descriptor is None:
        return

    def wait() -> None:
        while os.read(int(descriptor), 1):
            continue
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        os._exit(1)

    threading.Thread(target=wait, name="parent watch", daemon=True).start()
