"""What each stage of capture did, in the words of the Temporal UI: counts, never what was said."""

from __future__ import annotations

from typing import Final

from .contracts import Captured, Written

READ: Final = "ingest, normalise, redact"
"""One transaction keeps what comes of all three, and how far the file was read."""
OBEY: Final = "gate: commands and policy"
WRITE: Final = "write"


def table_of(seen: Captured) -> str:
    """Return the stages of a conversation as a table of markdown."""
    rows = {
        "ingest": f"{_many(seen.files, 'reading')}, {_many(seen.damaged, 'damaged record')}",
        "normalise": f"{_many(seen.new, 'new event')}, {seen.revised} revised",
        "redact": f"{_many(seen.redacted, 'secret')} taken out, {_many(seen.dropped, 'event')} dropped",
        "gate": f"{_many(seen.obeyed, 'command')} obeyed, {seen.refused} refused",
        "write": f"{_many(seen.writing, 'recording')} had something to be written",
    }
    lines = ["| stage | so far |", "|---|---|", *(f"| {stage} | {did} |" for stage, did in rows.items())]
    return "\n".join([*lines, *([] if seen.problem is None else ["", f"**{seen.problem}**"])])


def told_of(seen: Written, next_look: str) -> str:
    """Return how a file that is recorded into stands."""
    state = "nothing is recorded into it any more" if seen.over else "written as far as there is anything"
    return f"**{seen.problem or state}**; {next_look}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
