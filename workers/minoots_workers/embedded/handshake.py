"""A pipe over which a child says that it has begun, or why it could not."""

from __future__ import annotations

import os


class Handshake:
    """What a child has said. It may be started several times: what it says at last counts."""

    def __init__(self) -> None:
        # Both ends are ours, so that a child that is started again finds it open, too.
        self._reading, self.descriptor = os.pipe()
        os.set_blocking(self._reading, False)
        self._said = b""
        self._begun = False
        self.failed: str | None = None
        """Why it could not begin, when it tried last."""

    def begun(self) -> bool:
        """Tell whether it has begun."""
        try:
            while piece := os.read(self._reading, 65536):
                self._said += piece
        except BlockingIOError:
            pass  # nothing more has been said
        *lines, self._said = self._said.split(b"\n")
        for line in lines:
            word, _, why = line.decode(errors="replace").partition(" ")
            if word == "ready":
                self._begun = True
            else:
                self.failed = why
        return self._begun

    def close(self) -> None:
        """Stop listening."""
        os.close(self._reading)
        os.close(self.descriptor)
