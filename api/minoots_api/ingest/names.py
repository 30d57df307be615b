"""The names under which files are sent, as their senders wrote them.

Libraries that read forms cut off what looks like a folder of Windows, so that different files would become
one source. Programs write the quotation mark as ``%22`` (the HTML standard) or ``\\"`` (curl).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_EXTENDED: Final = re.compile(r"filename\*\s*=\s*utf-8''(?P<name>[^;\s]*)", re.IGNORECASE)
_QUOTED: Final = re.compile(r'filename\s*=\s*"(?P<name>(?:[^"\\]|\\.)*)"', re.IGNORECASE | re.DOTALL)
_PLAIN: Final = re.compile(r"filename\s*=\s*(?P<name>[^;\s\"]+)", re.IGNORECASE)


def name_in(disposition: str) -> str | None:
    """Return the name in a ``Content-Disposition``; ``None`` where it has none."""
    if extended := _EXTENDED.search(disposition):
        return unquote(extended["name"])
    if quoted := _QUOTED.search(disposition):
        name = re.sub(r'\\(["\\])', r"\1", quoted["name"])
        return name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    plain = _PLAIN.search(disposition)
    return None if plain is None else plain["name"]
