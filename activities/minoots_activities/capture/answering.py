"""Looks at places that may never answer: a mount whose server is away holds whoever asks, without an end.

Owns the threads that are held there, at most one a place, and the patience with them. What is asked, and what
an answer is worth, is its callers' business. For looks alone: one that is given up may still be carried out.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

PATIENCE: Final = 5.0
"""Seconds that a place may take to answer: a disk that has to wake up needs some, a busy machine too."""

_BEAT: Final = 1.0
"""Seconds between two signs of life while something takes long: after 10 s without one, another begins."""

T = TypeVar("T")


class _Question:
    """A look that is under way, in a thread that nobody has to wait for at the end of the process."""

    def __init__(self, look: Callable[[], Any], then: Callable[[_Question], None] = lambda _: None) -> None:
        self._look = look
        self._then = then
        self._answer: Any = None
        self._error: BaseException | None = None
        self.done = threading.Event()
        threading.Thread(target=self._ask, name="capture-look", daemon=True).start()

    def _ask(self) -> None:
        try:
            self._answer = self._look()
        except BaseException as error:  # handed on to whoever asked
            self._error = error
        self.done.set()
        self._then(self)

    def answer(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._answer


class Answering:
    """Places that are asked, and which of them have not answered yet."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._silent: dict[str, _Question] = {}
        self._turn = threading.Lock()

    def ask(self, place: str, look: Callable[[], T], steps: Callable[[], int] = lambda: 0) -> T:
        """Return what a look at a place finds. One that does not answer costs the patience only once.

        ``steps`` tells how far a long look has come: as long as it goes on, it is waited for.

        Raises:
            TimeoutError: it has not answered (errno ETIMEDOUT); it is asked again once it has.
            OSError: whatever else the look meets.
        """
        with self._turn:
            before = self._silent.get(place)
            if before is not None:
                if not before.done.is_set():
                    raise _no_answer()
                del self._silent[place]
        question, came = _Question(look), steps()
        while not question.done.wait(self._patience):
            if came != (now := steps()):
                came = now
                continue
            with self._turn:
                if not question.done.is_set():
                    self._silent[place] = question
                    raise _no_answer()
        found: T = question.answer()
        return found


async def apart(look: Callable[[], T]) -> T:
    """Return what a look finds, in a thread of its own: those of the loop may all be held somewhere."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def tell(question: _Question) -> None:
        if found.done():
            return  # nobody waits for it any more
        try:
            found.set_result(question.answer())
        except Exception as error:  # handed on to whoever waits
            found.set_exception(error)

    def asked(question: _Question) -> None:
        # Nobody is told where the loop has ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, question)

    _Question(look, asked)
    return await found


async def beating(look: Callable[[], T], beat: Callable[[], None]) -> T:
    """Return what a look finds that may take its time; call ``beat`` every second until then."""
    looking = asyncio.ensure_future(apart(look))
    try:
        while True:
            beat()
            done, _ = await asyncio.wait([looking], timeout=_BEAT)
            if done:
                return looking.result()
    finally:
        looking.cancel()


def _no_answer() -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, "the disk or server that holds it does not answer")
