"""Whether what stands behind the name of a secret is one: code, words and examples stand there more often.

Owns that judgement only; `named_secrets` finds names and values. Pure, and of short values: callers cut them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from enum import Enum
from typing import Final

_STOP: Final = frozenset(
    """none null nil undefined true false yes no on off string str text bytes number int integer boolean bool
    object array any unknown required optional missing empty invalid incorrect wrong expired changed reset
    hidden masked redacted removed secret secrets password passwords passwd token tokens key keys value
    default example sample dummy placeholder changeme change_me todo fixme test testing username user admin
    root field input type name label varchar secretstr unset confidential private public here""".split()
)
_MARKS: Final = frozenset("!@#$%^&*+=~?/")
_KEYWORD: Final = re.compile(
    r"(?i)pass(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|access|private)[_-]?key"
)
PLACEHOLDER: Final = re.compile(
    # Words are no secret; what goes on with more than a few digits may be one.
    r"(?i)^(?:(.)\1{3,}$|\.{3,}|.{0,40}(?:\.{3}|…)$|"
    r"(?:your[_-]|my[_-]|the[_-]|example|changeme|placeholder|dummy|test(?:ing)?[_-])[a-z_.-]{0,80}[0-9]{0,4}$|"
    r"\[?redacted|\$[{(]|(?-i:\$[A-Z_][A-Z0-9_]*$)|\{.*\}$|%[sdr]$|%\(|%[a-z_]+%$|<[^<>]*>?$|process\.env|"
    r"os\.(?:environ|getenv)|import\.meta|secrets\.|vars\.|env\.)"
)
_REFERENCE: Final = re.compile(r"(?i)(?:arn|vault|file|https?|op|ssm):")
_PROSE: Final = re.compile(
    r"(?i)\s(?:your|the|a|an|this|that|enter|please|must|is|are|was|to|in|on|by|not|no|if|has|have|invalid|"
    r"incorrect|required|password|cannot|should|for|with|of|and|or|from)\b|^(?:your|the|enter|please|invalid)\s"
)
_CALL: Final = re.compile(r"[A-Za-z_$][\w$.:>-]*[(\[]")
_DOTTED: Final = re.compile(
    r"[A-Za-z_$][A-Za-z_$]*\d{0,2}(?:(?:\.|::|->|\?\.)[A-Za-z_$][A-Za-z_$]*\d{0,2})+[,;.]?$"
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z_$-]*\d{0,4}$")
_PATH: Final = re.compile(r"(?:~|\.{1,2})?(?:/[a-z0-9_.-]+)+/?$|[A-Za-z]:\\")
_SHOUTED: Final = re.compile(r"[A-Z][A-Z0-9_]*_[A-Z0-9_]*[,;]?$")
_PAIR: Final = re.compile(r"[A-Za-z_]+[=:]\S")
_LETTERS: Final = re.compile(r"[A-Za-z]+$")


class Given(Enum):
    """How a value stands behind its name."""

    QUOTED = "quoted"
    TIGHT = "tight"
    """``name=value``, as in an environment or a query."""
    LOOSE = "loose"
    """``name: value``, as in a file of settings, but also in prose."""


def is_secret(value: str, given: Given, *, weak: bool, key: bool) -> bool:
    """Tell whether a value may be a secret, as its name says.

    ``weak`` is a name that means other things as often; a ``key`` is made by a machine, and no word.
    """
    value = value.strip().strip("\\\"'`")
    if len(value) < (10 if weak else 6) or PLACEHOLDER.match(value):
        return False
    if (
        value.rstrip(",;.").lower() in _STOP
        or _PATH.match(value)
        or _DOTTED.match(value)
        or _SHOUTED.match(value)
    ):
        return False
    if _is_name(value) or (given is not Given.QUOTED and (_is_code(value) or _PAIR.match(value))):
        return False
    spaced = " " in value or "\t" in value
    if spaced and (weak or _PROSE.search(value)):
        return False
    if entropy(value) < (3.0 if weak else 2.5 if len(value) >= 8 else 2.0):
        return False
    digits = any(letter.isdigit() for letter in value)
    if weak:
        return digits and not value.isdigit()
    if given is Given.LOOSE or key:
        marks = any(letter in "!@#$%^&*+=~?/" for letter in value)
        return (
            digits
            or (marks and given is Given.QUOTED)
            or (marks and not value.isascii())
            or marks
            or _is_random(value)
        )
    return True


def _is_name(value: str) -> bool:
    """Tell whether it is a name of a thing: ``newPassword``, ``my-app-secret``, ``test_token_2``."""
    value = value.rstrip(",;.")
    if not _IDENTIFIER.match(value):
        return False
    keyword = _KEYWORD.search(value)
    if keyword is None:
        return False
    divided = "_" in value or "-" in value or re.search("[a-z][A-Z]", value) is not None
    return divided or keyword.group().lower() == value.rstrip("0123456789").lower()


def _is_code(value: str) -> bool:
    call = _CALL.match(value)
    if call is None:
        return False
    balanced = all(value.count(one) == value.count(other) for one, other in ("()", "[]"))
    return not balanced or value.rstrip(",;.").endswith((")", "]"))


def _is_random(value: str) -> bool:
    """Tell whether letters change their case more often than words do."""
    if not _LETTERS.match(value) or value.islower() or value.isupper():
        return False
    humps = re.findall("[A-Z]+[a-z]*|[a-z]+", value)
    changes = sum(one.isupper() != other.isupper() for one, other in itertools.pairwise(value))
    return len(value) >= 8 and changes >= 4 and len(value) / len(humps) < 3.5


def entropy(text: str) -> float:
    """Bits per character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values()) if size else 0.0
