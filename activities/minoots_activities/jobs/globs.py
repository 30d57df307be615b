"""Which paths a pattern means: ``*`` and ``?`` within one part of a path, ``**`` for any parts.

Written out, for patterns come from strangers: a regular expression could be made to search for ever.
"""

from __future__ import annotations


def matches(pattern: str, path: str) -> bool:
    """Tell whether a pattern means a path: the path itself, or a folder that it is in."""
    return _parts(pattern.rstrip("/").split("/"), path.split("/"))


def _parts(pattern: list[str], path: list[str]) -> bool:
    # How many parts of the path can be used up by the pattern until here.
    reached = {0}
    for one in pattern:
        if one == "**":
            reached = set(range(min(reached), len(path) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(path) and _within(one, path[at])}
        if not reached:
            return False
    # What is left over of the path is in a folder that the pattern means.
    return True


def _within(pattern: str, text: str) -> bool:
    """Match one part, going back to the last ``*`` only: earlier ones can never do better."""
    at = place = 0
    star = mark = -1
    while place < len(text):
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
