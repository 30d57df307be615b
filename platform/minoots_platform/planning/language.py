"""What the expressions of a plan may speak of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from minoots_platform.expressions import DYN, OBJECTS, TEXTS, Expressions

EXPRESSIONS: Final = Expressions(nodes=OBJECTS, payload=DYN, labels=TEXTS)
"""``nodes``: those that have ended, by id, each with ``state``, ``response`` and ``actions``; ``payload`` and
``labels``: of the plan."""

KEYWORDS: Final = frozenset({"succeeded", "failed", "settled", "always"})
"""Values of ``when`` that are no expressions."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def visible(text: str, after: Iterable[str], nodes: Collection[str]) -> list[str]:
    """Return which of ``nodes`` an expression sees: those that it names, and those that it comes after.

    Others would be carried along for nothing: a plan has a thousand nodes.
    """
    return sorted({*after, *(name for name in _WORD.findall(text) if name in nodes)})
