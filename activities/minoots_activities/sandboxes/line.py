"""Who is next when the memory of a machine is short: a rule on a list, and nothing else.

Owns the order of those who wait. Pure: no clock, no files, no memory of the machine; `Room` passes these in.

Who waits longest is next. How important his are is a tenant's own choice, so it orders his own and nobody
else's: the places that his have by their arrival, they share by their importance. Whoever needs less goes
before only if he will have ended when the one before him can begin for certain: a large one waits for its
room no longer than it would have to anyway, and what it waits for is not kept from others until then.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from math import inf

Lacks = Callable[[int], int]
"""Megabytes that are missing for a sandbox of so many to begin now; nothing or less when it can."""


@dataclass(frozen=True)
class Entry:
    """A sandbox that has room, or waits for it. Moments are nanoseconds since this machine was started.

    Attributes:
        mb: what it may take.
        priority: 1 goes first, of those of one tenant.
        since: when it came; of one that waits, the place that it has by that.
        taken: whether it has room.
        ends: when it will have ended for certain, if it has room or is given it now.
        group: what its control groups are called, where they are not called after the entry.
        whose: the tenant's.
    """

    mb: int
    priority: int
    since: int
    taken: bool
    ends: int = 0
    group: str = ""
    whose: str = ""


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
    waiting = {other: one for other, one in others.items() if not one.taken} | {name: mine}
    moments: list[float] = []
    for other in takewhile(lambda one: one != name, in_order(waiting)):
        one = others[other]
        # One that would have room may have to let those before it go first, like this one here.
        barred = (moment for moment in moments if one.ends > moment)
        begins = max(_has_room(taken, lacks(one.mb)), *barred, -inf)
        if mine.ends > begins:
            return False
        moments.append(begins)
    return True


def in_order(waiting: Mapping[str, Entry]) -> list[str]:
    """Return the names of those who wait, the next one first."""
    came = sorted(waiting, key=lambda name: (waiting[name].since, name))
    of: defaultdict[str, deque[str]] = defaultdict(deque)
    for name in sorted(came, key=lambda name: waiting[name].priority):
        of[waiting[name].whose].append(name)
    return [of[waiting[name].whose].popleft() for name in came]


def places_without(name: str, waiting: Mapping[str, Entry]) -> dict[str, int]:
    """Return the places that others of a tenant have when one of his begins, where they are not as they were.

    He has used up the place in which that one stood, and not the one at which it came: or he could keep a
    place in front for ever with something unimportant, and put whatever is important into it.
    """
    whose = waiting[name].whose
    his = sorted((one.since, other) for other, one in waiting.items() if one.whose == whose)
    order = [other for other in in_order(waiting) if waiting[other].whose == whose]
    used = order.index(name)
    places = [since for at, (since, _) in enumerate(his) if at != used]
    left = [other for _, other in his if other != name]
    return {other: since for other, since in zip(left, places, strict=True) if since != waiting[other].since}


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
