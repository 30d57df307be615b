"""The files of an agent as a listing of hashes: the same files give the same listing, and that one hash.

Pure: the bytes themselves are contents of the records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

MOST_FILES: Final = 10_000
"""Files that an agent may have."""


class Entry(NamedTuple):
    """A file, by the hash of its bytes."""

    sha256: str
    bytes: int
    executable: bool = False


Tree = Mapping[str, Entry]
"""Files by their paths."""


def encode(tree: Tree) -> bytes:
    """Return a listing as it is kept."""
    rows = [[path, *tree[path]] for path in sorted(tree)]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Entry]:
    """Return a listing as it was kept."""
    return {path: Entry(*rest) for path, *rest in json.loads(data)}


def size_of(tree: Tree) -> int:
    """Return how many bytes all files have together."""
    return sum(entry.bytes for entry in tree.values())


def changed(before: Tree, after: Tree) -> tuple[str, ...]:
    """Return the paths of what is different, in order."""
    return tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path)))
