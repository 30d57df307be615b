"""Who is next when the memory of a machine is short: a rule on a list, and nothing else.

Owns the order of those who wait. Pure: no clock, no files, no memory of the machine; `Room` passes these in.

Who waits longest is next, the more important ones before. Whoever needs less goes before only if he will
have ended when the one before him can begin for certain: a large one waits for its room no longer than it
would have to anyway, and what it waits for is not kept from others until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

Lacks = Callable[[int], int]
"""Megabytes that are missing for a sandbox of so many to begin now; nothing or less when it can."""


@dataclass(frozen=True)
class Entry:
    """A sandbox that has room, or waits for it. Moments are nanoseconds since this machine was started.

    Attributes:
        mb: what it may take.
        priority: 1 goes first.
        since: when it came.
        taken: whether it has room.
        ends: when it will have ended for certain, if it has room or is given it now.
        group: what its control groups are called, where they are not called after the entry.
    """

    mb: int
    priority: int
    since: int
    taken: bool
    ends: int = 0
    group: str = ""


def may_begin(name: str, mine: Entry, others: Mapping[str, Entry], lacks: Lacks) -> bool:
    """Tell whether it is somebody's turn, and there is room for him.

    Args:
        name: his, which tells two apart that came together.
        mine: what he needs.
        others: all others in the list.
        lacks: what is missing beside those that have room.
    """
    if lacks(mine.mb) > 0:
        return False
    taken = sorted((one for one in others.values() if one.taken), key=lambda one: one.ends)
    before = sorted(
        (one.priority, one.since, other)
        for other, one in others.items()
        if not one.taken and (one.priority, one.since, other) < (mine.priority, mine.since, name)
    )
    moments: list[float] = []
    for *_, other in before:
        one = others[other]
        # One that would have room may have to let those before it go first, like this one here.
        barred = (moment for moment in moments if one.ends > moment)
        begins = max(_has_room(taken, lacks(one.mb)), *barred, -inf)
        if mine.ends > begins:
            return False
        moments.append(begins)
    return True


def _has_room(taken: list[Entry], missing: int) -> float:
    """Return when there is room for certain for one that lacks so many megabytes: always, never, or once."""
    if missing <= 0:
        return -inf
    for one in taken:
        missing -= one.mb
        if missing <= 0:
            return one.ends
    # It waits for what no sandbox has, and nobody knows until when.
    return inf
