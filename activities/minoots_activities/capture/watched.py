"""What a watcher knows of the files that it watches, in memory, and what it tells of how that stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from minoots_platform.records.conversations import Whose

from .sources import About

MOST_TROUBLES: Final = 20


@dataclass
class Stats:
    """How the watching stands."""

    files: int = 0
    told: int = 0
    failures: int = 0
    denied: int = 0
    problem: str | None = None
    troubles: tuple[str, ...] = ()
    """What cannot be read, and why: at most `MOST_TROUBLES`."""
    looks: int = 0
    """How often all files were looked at."""
    looked_in: float = 0.0
    """Seconds that the last look at all files kept a processor busy."""
    waited: float = 0.0
    """Seconds that the last look at all files took, also those in which it waited for disk or processor."""


@dataclass
class Memory:
    """What was found out, and told."""

    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size and time of each file when it was last told, or found to be none of ours."""
    marks: dict[str, str] = field(default_factory=dict)
    """The mark of each session of a store when it was last told."""
    old: set[str] = field(default_factory=set)
    """Files that were there before watching began, or of which somebody has been told since."""
    fresh: set[str] = field(default_factory=set)
    """Those that were fresh when they could not be read."""
    whose: dict[str, tuple[int, Whose]] = field(default_factory=dict)
    """Whose conversation a file tells of, by its path, and the inode that it had then."""
    troubled: dict[str, str] = field(default_factory=dict)
    """Why a file cannot be read."""
    closed: dict[str, str] = field(default_factory=dict)
    """Why a folder cannot be looked into, or what is in it not be looked at."""
    began: bool = False
    """Whether all files have been told of for the first time."""

    def is_new(self, path: str, now: About) -> bool:
        """Tell whether a file has something that nobody was told of."""
        return now.size > 0 and self.seen.get(path) != (now.size, now.modified_ns)
