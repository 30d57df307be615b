"""Listing transcripts: which there are in the folders of the sources, and which folders there are.

Whatever is asked of a disk is asked with patience: one that does not answer holds up no other. What is new in
a file, and who is told of it, is elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .answering import Answering
from .following import is_folder
from .readers.store import Open
from .roots import ReadDenied
from .sources import About, Source


@dataclass
class Listed:
    """What was found in the folders of one source or of all, as far as that got."""

    count: int = 0
    """Of transcripts."""
    found: list[tuple[Source, str, About]] = field(default_factory=list)
    entered: dict[str, int] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    busy: float = 0.0
    """Seconds of a processor."""

    def steps(self) -> int:
        """Return how far it has come."""
        return self.count + len(self.entered) + len(self.closed)


class Listing:
    """Looks into the folders of some sources. May be asked by several threads at once."""

    def __init__(self, sources: list[Source], is_new: Callable[[str, About], bool]) -> None:
        self._sources = sources
        self._is_new = is_new
        self.answering = Answering()

    def listed(self, folders: Collection[str] | None = None) -> Listed:
        """Return what is new in all folders, or in some and below, and the folders that there are."""
        every = Listed()
        for source in self._sources:
            root = str(source.root)
            below = (one for one in folders or () if one == root or one.startswith(f"{root}{os.sep}"))
            begins = [root] if folders is None else list(below)
            if not begins:
                continue
            one = Listed()
            try:
                self.answering.ask(root, partial(self._walk, source, begins, one), one.steps)
            except TimeoutError as error:
                # The others are looked at without it, and what was found by then counts.
                every.closed[root] = str(error.strerror)
            every.count, every.busy = every.count + one.count, every.busy + one.busy
            every.found += list(one.found)
            every.entered |= {folder: inode for folder, inode in dict(one.entered).items() if is_text(folder)}
            every.closed |= dict(one.closed)
        return every

    def _walk(self, source: Source, begins: Iterable[str], walk: Listed) -> None:
        """Look into the folders of a source."""
        began = time.thread_time()
        for begin in begins:
            for path, now in source.files(begin, walk.entered, walk.closed):
                if not is_text(path):
                    continue
                walk.count += 1
                if self._is_new(path, now):
                    walk.found.append((source, path, now))
        walk.busy = time.thread_time() - began

    def answers(self, root: str) -> bool:
        """Tell whether a folder answers at all."""
        try:
            self.answering.ask(root, lambda: os.stat(root))
        except TimeoutError:
            return False
        except OSError:
            pass  # whatever else it is, the listing tells
        return True

    def about(self, source: Source, path: str) -> About:
        """Return how a file is.

        Raises:
            OSError: it is gone, may not be looked at, or does not answer.
        """
        return self.answering.ask(os.path.dirname(path), partial(source.about, path))

    def folders_in(self, paths: Iterable[str]) -> list[str]:
        """Return those of some paths at which there are folders."""
        found = []
        for path in paths:
            with suppress(TimeoutError):
                if self.answering.ask(os.path.dirname(path), partial(is_folder, path)):
                    found.append(path)
        return found

    def is_there(self, path: str) -> bool:
        """Tell whether there is anything at a path; of what does not answer, that is supposed."""
        try:
            return self.answering.ask(os.path.dirname(path), partial(os.path.lexists, path))
        except TimeoutError:
            return True

    def require_answer(self, path: str, open: Open) -> None:
        """Make sure that a file can be opened, or cannot: only one that does not answer is told here.

        Raises:
            TimeoutError: it does not answer.
        """
        try:
            self.answering.ask(os.path.dirname(path), lambda: open(Path(path)).close())
        except TimeoutError:
            raise
        except (ReadDenied, OSError):
            return  # whatever else it is, reading tells


def is_text(path: str) -> bool:
    """Tell whether a path can be told of; a name that is no UTF-8 cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
