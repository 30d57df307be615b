"""Texts that do nothing but stand there: what would drive a terminal or end a line is shown. Pure."""

from __future__ import annotations

import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
_PICTURES: Final = 0x2400
"""Where the pictures of control characters begin."""


def visible(text: str) -> str:
    """Return a text whose lines all end alike, with pictures of control characters instead of these."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(_picture, text)


def visible_json(text: str) -> str:
    """Return JSON in which what drives terminals, or ends a line for some readers, is escaped."""
    # They can stand in strings only. What JSON itself escapes are those before the space.
    return _IN_JSON.sub(lambda one: f"\\u{ord(one[0]):04x}", text)


def _picture(one: re.Match[str]) -> str:
    code = ord(one[0])
    if code == 0x7F:
        return "\u2421"
    return chr(_PICTURES + code) if code < 0x20 else "\ufffd"
