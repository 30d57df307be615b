"""Finding extractors by their entry points, and the one for a file."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Final

from minoots_platform.plugins import classes

from .extractor import Extractor

GROUP: Final = "minoots.extractors"

HEAD: Final = 1024
"""Bytes from the beginning of a file that tell its kind."""

TEXT: Final = "text"
"""The extractor of whatever no other one knows."""

_SAYS_NOTHING: Final = frozenset({"application/octet-stream", "text/plain", "binary/octet-stream"})
"""What programs call a file of which they know nothing."""


@cache
def installed() -> Mapping[str, Extractor]:
    """Return every extractor by its name.

    Raises:
        Failure: unavailable, for an entry point that cannot be loaded or is none.
    """
    return classes(GROUP, "extractor", Extractor, lambda kind: kind.name)  # type: ignore[type-abstract]  # a port


def pick(said: str | None, name: str, head: bytes) -> tuple[Extractor, str]:
    """Return the extractor for a file, and its media type.

    Its first bytes decide where they are certain; then what its sender says, then its name.
    """
    every = installed()
    suffix = PurePosixPath(name).suffix.lower()
    said = None if said in _SAYS_NOTHING else said
    guessed = mimetypes.guess_type(f"file{suffix}")[0]
    for one in every.values():
        if one.knows(head):
            own = min(one.media_types)
            return one, said if said in one.media_types else own
    for one in every.values():
        if said is not None and said in one.media_types:
            return one, said
    if said is None:
        for one in every.values():
            if suffix in one.suffixes:
                return one, guessed if guessed in one.media_types else min(one.media_types)
    return every[TEXT], said or guessed or "text/plain"
