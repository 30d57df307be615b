"""Python's garbage collector in a process that serves."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import what a process serves with; the collector looks at it neither meanwhile nor afterwards.

    Meanwhile nothing becomes garbage: looking for it, again and again, is a seventh of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    leave_alone_what_is_loaded()


def leave_alone_what_is_loaded() -> None:
    """Have the collector never look again at what there is by now: code, models, tables.

    A process that serves calls it once, when everything is imported. That is most of what it ever holds, none
    of it becomes garbage, and each full collection would look through all of it: a quarter of what reading a
    transcript costs, in pauses of a tenth of a second.
    """
    gc.freeze()
