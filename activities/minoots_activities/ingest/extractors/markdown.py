"""Markdown, with front matter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import yaml

from .decoding import decode
from .extractor import Extracted, Extractor, Form

_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_LONGEST: Final = 16_384
"""Characters of front matter; what is longer is text."""
_HEADING: Final = re.compile(r"^#[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)


class Markdown(Extractor):
    """Markdown."""

    name = "markdown"
    version = 1
    media_types = frozenset({"text/markdown", "text/x-markdown"})
    suffixes = frozenset({".md", ".markdown", ".mdown", ".mdx"})

    def read(self, data: bytes) -> Extracted:
        """Return the text without its front matter, which tells about it."""
        text, encoding = decode(data)
        about, text = front_matter(text)
        title = about.pop("title", None)
        if not isinstance(title, str):
            heading = _HEADING.search(text[:_LONGEST])
            title = heading[1] if heading else None
        return Extracted(text, Form.MARKDOWN, title, {"encoding": encoding, **about})


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return what the front matter of a text says, and the text behind it; broken front matter is text."""
    match = _FRONT_MATTER.match(text[: _LONGEST + 10])
    if match is None:
        return {}, text
    try:
        said = yaml.safe_load(match[1])
    except Exception:
        # Its tags fail in every way that there is; then it is text like the rest.
        return {}, text
    if not isinstance(said, Mapping):
        return {}, text
    # Values and lists of values; what is nested deeper is for other programs, and may refer to itself.
    kept = {str(name)[:100]: _plain(value) for name, value in list(said.items())[:64]}
    return {name: value for name, value in kept.items() if value is not None}, text[match.end() :]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [one for one in map(_scalar, value[:64]) if one is not None]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and abs(value) < 2**53:
        return value
    return None
