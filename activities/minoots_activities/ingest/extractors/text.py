"""Plain text, and whatever else decodes: code, tables, configuration."""

from __future__ import annotations

from .decoding import decode
from .extractor import Extracted, Extractor, Form


class Text(Extractor):
    """Plain text."""

    name = "text"
    version = 1
    media_types = frozenset({"text/plain"})
    suffixes = frozenset({".txt", ".text", ".log"})

    def read(self, data: bytes) -> Extracted:
        """Return the text as it is."""
        text, encoding = decode(data)
        return Extracted(text, Form.PLAIN, None, {"encoding": encoding})
