"""Which paths a pattern means: ``*`` and ``?`` within one part of a path, ``**`` for any parts.

Written out, for patterns come from strangers: a regular expression could be made to search for ever. Even so
many long patterns against many long paths take hours, so the work is counted and has an end.
"""

from __future__ import annotations


class TooMuchWorkError(Exception):
    """More work than was allowed: whether the pattern means the path is not known."""


class Work:
    """How much may still be done.

    Args:
        steps: comparisons of one character, or of one part of a path.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps

    def take(self, steps: int) -> None:
        """Count what was done.

        Raises:
            TooMuchWorkError: it was more than was left.
        """
        self._left -= steps
        if self._left < 0:
            raise TooMuchWorkError


def matches(pattern: str, path: str, work: Work | None = None) -> bool:
    """Tell whether a pattern means a path: the path itself, or a folder that it is in.

    Raises:
        TooMuchWorkError: it takes more than is left of ``work``.
    """
    return _parts(pattern.rstrip("/").split("/"), path.split("/"), work)


def _parts(pattern: list[str], path: list[str], work: Work | None) -> bool:
    # How many parts of the path can be used up by the pattern until here.
    reached = {0}
    for one in pattern:
        if one == "**":
            reached = set(range(min(reached), len(path) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(path) and _within(one, path[at], work)}
        if work is not None:
            work.take(1 + len(reached))
        if not reached:
            return False
    # What is left over of the path is in a folder that the pattern means.
    return True


def _within(pattern: str, text: str, work: Work | None) -> bool:
    """Match one part, going back to the last ``*`` only: earlier ones can never do better."""
    at = place = steps = 0
    star = mark = -1
    try:
        while place < len(text):
            steps += 1
            if at < len(pattern) and pattern[at] == "*":
                star, mark = at, place
                at += 1
            elif at < len(pattern) and pattern[at] in ("?", text[place]):
                at += 1
                place += 1
            elif star >= 0:
                mark += 1
                at, place = star + 1, mark
            else:
                return False
        return pattern[at:].strip("*") == ""
    finally:
        if work is not None:
            work.take(steps)
