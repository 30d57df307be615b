"""JSON lines: one record a line."""

from __future__ import annotations

import orjson

from .decoding import decode
from .extractor import Extracted, Extractor, Form


class Jsonl(Extractor):
    """JSON lines; a line that is broken is text like the others, and counted."""

    name = "jsonl"
    version = 1
    media_types = frozenset({"application/jsonl", "application/x-ndjson", "application/json-lines"})
    suffixes = frozenset({".jsonl", ".ndjson"})

    def read(self, data: bytes) -> Extracted:
        """Return the lines as they are."""
        text, encoding = decode(data)
        records = broken = 0
        for line in text.split("\n"):
            if not line.strip():
                continue
            try:
                orjson.loads(line)
                records += 1
            except orjson.JSONDecodeError:
                broken += 1
        found = {"encoding": encoding, "records": records, "broken_records": broken}
        return Extracted(text, Form.LINES, None, found)
