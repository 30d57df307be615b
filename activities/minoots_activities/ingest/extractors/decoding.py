"""Bytes as text: by their mark, as UTF-8, or as what old programs of the West wrote."""

from __future__ import annotations

import codecs
import re
from typing import Final

from .extractor import Unreadable

_MARKS: Final = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROL: Final = 0.002
"""Control characters in a text: more, and it is none."""


def decode(data: bytes) -> tuple[str, str]:
    """Return a text with plain line ends, and the encoding that it was in.

    Raises:
        Unreadable: for bytes that are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return clean(data[len(mark) :].decode(encoding, "replace")), encoding
    try:
        text, encoding = data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("cp1252", "replace"), "windows-1252"
    if len(_CONTROL.findall(text)) > _MOST_CONTROL * len(text):
        raise Unreadable(
            "these bytes are no text",
            "Text, Markdown, HTML, JSON lines and PDF can be read; convert it, or install an extractor.",
        )
    return clean(text), encoding


def clean(text: str) -> str:
    """Return a text that any database can hold, with plain line ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    # Halves of surrogate pairs, which are no characters.
    return text.encode("utf-8", "replace").decode() if re.search("[\ud800-\udfff]", text) else text
