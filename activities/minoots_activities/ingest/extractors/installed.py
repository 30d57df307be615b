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


def pick(meant: str | None, sent_as: str | None, name: str, head: bytes) -> tuple[Extractor, str]:
    """Return the extractor for a file, and its media type.

    What its sender means it to be; else what its first bytes are for certain; else what it was sent as,
    unless that says nothing; else what its name says. Whatever no extractor knows is read as text.
    """
    every = installed().values()
    suffix = PurePosixPath(name).suffix.lower()
    guessed = mimetypes.guess_type(f"file{suffix}")[0]
    said = meant or (None if sent_as in _SAYS_NOTHING else sent_as)
    if meant is None:
        for one in every:
            if one.knows(head):
                return one, said if said in one.media_types else min(one.media_types)
    for one in every:
        if said in one.media_types:
            return one, said
    if said is None:
        for one in every:
            if suffix in one.suffixes:
                return one, guessed if guessed in one.media_types else min(one.media_types)
    # What others take for a film may be a program: .ts.
    text = guessed if guessed is not None and guessed.startswith(("text/", "application/")) else "text/plain"
    return installed()[TEXT], said or text
