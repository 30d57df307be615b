"""What is wrong with settings, in words: one fault a key, all of them in one error.

Owns the shape and the text of faults. Must never hold the value of a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from minoots.errors import MinootsError


@dataclass(frozen=True)
class Fault:
    """One setting that is not as expected.

    Attributes:
        key: dotted name of the setting, or the file when the file itself is at fault.
        expected: what would have been valid.
        got: what came; never the value of a secret.
        remedy: what to do about it.
        source: the variable or file it came from, where that is known.
    """

    key: str
    expected: str
    got: str
    remedy: str
    source: str | None = None

    def __str__(self) -> str:
        where = f" ({self.source})" if self.source and self.source != self.key else ""
        return f"{self.key}{where}: expected {self.expected}; got {self.got}. {self.remedy}"


class SettingsError(MinootsError):
    """The settings are not valid; ``faults`` lists everything that is wrong with them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 setting is" if len(self.faults) == 1 else f"{len(self.faults)} settings are"
        super().__init__("\n".join([f"{count} not valid:", *(f"  {fault}" for fault in self.faults)]))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name``, or ``None`` when none is close."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
