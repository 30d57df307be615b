"""Watching the children: restart what dies, give up when it keeps dying, drain in order when told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from .child import Child
from .faults import CHILD_FAILED, StackFault

MOST_DEATHS: Final = 3
WINDOW: Final = 30.0
"""A child that dies `MOST_DEATHS` times within these seconds stops the whole."""

_BACKOFF: Final = (0.1, 1.0)


class Supervisor:
    """Runs children, in the order given; stops them in the opposite order."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = tuple(children)
        self._watchers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._stopping = False

    def listen(self) -> None:
        """Stop on SIGTERM, Ctrl-C and a closed terminal; at once on the second."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    async def start(self, child: Child) -> None:
        """Start one child and watch it from now on."""
        await child.start()
        self._watchers.append(asyncio.create_task(self._watch(child), name=f"watch {child.spec.name}"))

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    async def run(self) -> None:
        """Return when told to stop.

        Raises:
            StackFault: when a child keeps dying.
        """
        stop = asyncio.create_task(self._stop.wait())
        waiting = {*self._watchers}
        try:
            while not stop.done():
                done, _ = await asyncio.wait([stop, *waiting], return_when=asyncio.FIRST_COMPLETED)
                for watcher in done & waiting:
                    # One that has merely ended watched a child that is not needed, and stays down.
                    watcher.result()
                waiting -= done
        finally:
            stop.cancel()

    async def shut_down(self) -> None:
        """Stop every child, the last one started first; each drains before the next is asked."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        for child in reversed(self._children):
            await child.stop()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def _watch(self, child: Child) -> None:
        while True:
            code = await child.wait()
            if self._stopping:
                return
            lately = [death for death in child.deaths if time.monotonic() - death < WINDOW]
            if len(lately) >= MOST_DEATHS:
                lines = "\n".join(f"  | {line}" for line in child.last_lines())
                if not child.spec.needed:
                    child.given_up = True
                    _say(
                        f"{child.spec.name} died {len(lately)} times in {WINDOW:g} s and stays "
                        f"down; the rest goes on. Its last lines:\n{lines}"
                    )
                    return
                raise StackFault(
                    CHILD_FAILED,
                    f"{child.spec.name} died {len(lately)} times in {WINDOW:g} s. Its last lines:\n{lines}",
                    "The logs have the rest.",
                )
            _say(f"{child.spec.name} ended with {code}; starting it again")
            await asyncio.sleep(_BACKOFF[min(len(lately), len(_BACKOFF)) - 1])
            await child.start()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            for child in self._children:
                with suppress(ProcessLookupError):
                    child.signal(signal.SIGKILL)
            return
        self._stop.set()


def _say(text: str) -> None:
    # On a full disk the log takes no word: whoever watches the children goes on all the same.
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"minoots: {text}\n".encode(errors="replace"))
