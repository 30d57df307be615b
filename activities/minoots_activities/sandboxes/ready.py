"""What has begun before anybody asks for it: whoever does need not wait until it has come up.

Owns how many of them there are, of which kind, and for how long. It knows nothing of what they are. Nothing
of anybody may be in one: what is its owner's comes when it is taken, and each is taken once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from minoots.errors import Failure
from minoots_platform.telemetry import get_logger

_IDLE: Final = 600.0
"""Seconds after the last request in which they are kept: an agent's next command comes within them."""

Kind = TypeVar("Kind")
Begun = TypeVar("Begun")


@dataclass
class _Coming(Generic[Kind]):
    """One that has not begun yet.

    Attributes:
        over: set when it has, or will not.
        awaited: whether somebody waits for it.
    """

    kind: Kind
    over: asyncio.Event = field(default_factory=asyncio.Event)
    awaited: bool = False


class Ready(Generic[Kind, Begun]):
    """A few that have begun, of the kinds that were asked for last; none before anybody has asked.

    Args:
        most: how many are kept.
        begin: begins one of a kind.
        end: ends one that nobody takes.
        lives: whether one is still there.
        idle: seconds without a request after which they are ended.
    """

    def __init__(
        self,
        most: int,
        begin: Callable[[Kind], Awaitable[Begun]],
        end: Callable[[Begun], Awaitable[None]],
        lives: Callable[[Begun], bool],
        idle: float = _IDLE,
    ) -> None:
        self._most = most
        self._begin = begin
        self._end = end
        self._lives = lives
        self._idle = idle
        self._there: list[tuple[Kind, Begun]] = []
        self._asked: deque[Kind] = deque(maxlen=most)
        self._coming: _Coming[Kind] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self._rest: asyncio.TimerHandle | None = None

    async def take(self, kind: Kind) -> Begun | None:
        """Return one that is its taker's from now on, ``None`` if there is none; others begin meanwhile."""
        if not self._most:
            return None
        found, coming = self._pop(kind), self._coming
        if found is None and coming is not None and coming.kind == kind and not coming.awaited:
            # It has a start over one that would begin now.
            coming.awaited = True
            await coming.over.wait()
            found = self._pop(kind)
        self._fill(kind)
        return found

    async def aclose(self) -> None:
        """End all of them, and begin no more."""
        self._most = 0
        if self._rest is not None:
            self._rest.cancel()
        self._end_all()
        if self._filling is not None:
            # Not called off: asyncio leaves pipes open of a process that is called off while it begins. What
            # begins is not wanted any more, and ends at once.
            await self._filling
        await asyncio.gather(*self._ending)

    def _pop(self, kind: Kind) -> Begun | None:
        for place, (other, begun) in enumerate(self._there):
            if other == kind and self._lives(begun):
                del self._there[place]
                return begun
        return None

    def _fill(self, kind: Kind) -> None:
        """Have one for each of the last requests."""
        if not self._most:
            return
        self._asked.append(kind)
        loop = asyncio.get_running_loop()
        if self._rest is not None:
            self._rest.cancel()
        self._rest = loop.call_later(self._idle, self._end_all)
        self._trim()
        if self._filling is None or self._filling.done():
            # In a context of its own: who asked has nothing to do with what is begun for the next one.
            self._filling = loop.create_task(self._fill_up(), context=Context())

    async def _fill_up(self) -> None:
        while missing := self._missing():
            self._coming = coming = _Coming(missing[-1])
            try:
                self._there.append((coming.kind, await self._begin(coming.kind)))
                # Others may be wanted by now.
                self._trim()
            except (Failure, OSError) as problem:
                # Whoever asks next begins one himself, and is told.
                get_logger("minoots.sandboxes").info("sandbox.none_ready", problem=str(problem))
                return
            finally:
                self._coming = None
                coming.over.set()

    def _missing(self) -> list[Kind]:
        wanted = list(self._asked)
        for kind, _ in self._there:
            wanted.remove(kind)
        return wanted

    def _trim(self) -> None:
        """Let go of what nobody has asked for lately, and of what has ended by itself."""
        wanted, there = list(self._asked), list(self._there)
        self._there.clear()
        for kind, begun in there:
            if kind in wanted and self._lives(begun):
                wanted.remove(kind)
                self._there.append((kind, begun))
            else:
                self._dismiss(begun)

    def _end_all(self) -> None:
        self._asked.clear()
        self._trim()

    def _dismiss(self, begun: Begun) -> None:
        task = asyncio.ensure_future(self._end(begun))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
