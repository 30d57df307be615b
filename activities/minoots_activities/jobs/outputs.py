"""Which files of a sandbox become artifacts of its job, under which names and of which types.

What a sandbox tells of its files is a stranger's, and so are the patterns: everything here has an end, no two
artifacts have one name, and a type that is none does not count. Pure: no sandbox and no records.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from minoots.contracts.ingest import MEDIA_TYPE_PATTERN
from minoots_activities.sandboxes.port import File

from .globs import TooMuchWorkError, Work, matches

BINARY: Final = "application/octet-stream"
_LONGEST_NAME: Final = 500
"""Characters of a file's path; an artifact's name may be a little longer."""
_LONGEST_TYPE: Final = 200
_STEPS: Final = 20_000_000
"""Comparisons for all files of one job: some seconds at the worst, and a hundred times what jobs need."""


@dataclass(frozen=True)
class Chosen:
    """What is to be kept of a listing.

    Attributes:
        files: each with the name of its artifact, no two of which are the same.
        left_out: files that are, or may be, meant and cannot be kept.
    """

    files: tuple[tuple[File, str], ...]
    left_out: int


def choose(
    patterns: Sequence[str], listed: Iterable[File], taken: Collection[str], *, steps: int = _STEPS
) -> Chosen:
    """Return which files are meant by the patterns.

    Args:
        patterns: as a job has them.
        listed: the files that there are.
        taken: names of artifacts that are for something else.
        steps: how much may be compared; files that come after that are left out.
    """
    work = Work(steps)
    meant: dict[str, File] = {}
    left_out = 0
    over = False
    for file in listed:
        if over or len(file.path) > _LONGEST_NAME:
            left_out += 1
            continue
        try:
            if any(matches(pattern, file.path, work) for pattern in patterns):
                meant.setdefault(file.path, file)
        except TooMuchWorkError:
            over = True
            left_out += 1
    used = {*taken, *meant}
    files = []
    for path, file in meant.items():
        name = path
        if path in taken:
            # Another file may really be there.
            while name in used:
                name = f"files/{name}"
            used.add(name)
        files.append((file, name))
    return Chosen(tuple(files), left_out)


def media_type_of(path: str) -> str:
    """Return the type of a file by the end of its name."""
    # Below a folder, a name is never taken for an address such as data:….
    guessed = mimetypes.guess_type(f"./{path.rpartition('/')[2]}")[0] or BINARY
    if len(guessed) > _LONGEST_TYPE or not re.fullmatch(MEDIA_TYPE_PATTERN, guessed):
        return BINARY
    return guessed
