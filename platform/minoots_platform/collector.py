"""Python's garbage collector in a process that serves."""

from __future__ import annotations

import gc


def leave_alone_what_is_loaded() -> None:
    """Have the collector never look again at what there is by now: code, models, tables.

    A process that serves calls it once, when everything is imported. That is most of what it ever holds, none
    of it becomes garbage, and each full collection would look through all of it: a quarter of what reading a
    transcript costs, in pauses of a tenth of a second.
    """
    gc.freeze()
