"""What a child says over a pipe: that it has begun, or why it could not."""

from __future__ import annotations

import os
import subprocess
import sys

from minoots_workers.embedded.handshake import Handshake


def test_what_is_said_at_last_counts() -> None:
    handshake = Handshake()
    assert (handshake.begun(), handshake.failed) == (False, None)
    os.write(handshake.descriptor, b"failed no")
    assert (handshake.begun(), handshake.failed) == (False, None), "half a line says nothing"
    os.write(handshake.descriptor, b" folder\n")
    assert (handshake.begun(), handshake.failed) == (False, "no folder")
    say = f"import os; os.write({handshake.descriptor}, b'ready\\n')"
    subprocess.run([sys.executable, "-c", say], pass_fds=[handshake.descriptor], check=True)
    assert handshake.begun()
    assert handshake.begun(), "for good"
    handshake.close()
