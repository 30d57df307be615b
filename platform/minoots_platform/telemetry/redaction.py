"""Taking secrets out of what is about to be logged.

Owns what looks like a secret, by key and by text. Errs on the side of hiding. Must not raise: a line that
cannot be cleaned is replaced, never passed on.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Set
from typing import Any, Final

REDACTED: Final = "[redacted]"
_DEEPEST: Final = 12
_LONGEST: Final = 32_768
_NAMES: Final = (
    r"authorization|cookie|api[-_]?key|secret|passw(?:or)?d|passphrase|pwd|token|credential"
    r"|(?:private|master|signing|encryption)[-_]?key|key[-_]?material"
)
_SECRET_KEY: Final = re.compile(_NAMES, re.IGNORECASE)

_QUOTED: Final = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_GROUPED: Final = r"\[[^\]]*\]?|\([^)]*\)?|\{[^}]*\}?"  # the repr of several values under one name
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # Name and value in running text: password=…, 'api_key': '…', Authorization: Basic …
    (
        re.compile(
            rf"(?i)((?:{_NAMES})[a-z0-9_-]{{0,40}}[\"']?\s{{0,8}}[=:]\s{{0,8}}(?:SecretStr\()?)"
            rf"({_QUOTED}|{_GROUPED}|(?:(?:basic|bearer|digest)\s+)?[^\s\"',;&)\]}}]+)"
        ),
        rf"\1{REDACTED}",
    ),
    # Userinfo up to the last @ before the path, for a password may hold an @ that nobody encoded.
    (re.compile(r"(://)[^/\s]*@"), rf"\1{REDACTED}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=:-]{6,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(?:mnt_|whsec_|whsk_)[A-Za-z0-9+/=_.-]+"), REDACTED),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        REDACTED,
    ),
)


def redact_text(text: str) -> str:
    """Return ``text`` with everything that looks like a secret replaced, cut where it is very long."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + f"… ({len(text)} characters)"


def redact(value: object) -> Any:
    """Return ``value`` as plain JSON data without secrets, at any depth."""
    return _redact(value, 0)


def looks_secret(key: str) -> bool:
    """Return whether a value under this key must not be shown."""
    return _SECRET_KEY.search(key) is not None


def _redact(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # NaN is not JSON
    if isinstance(value, str):
        return redact_text(str(value))
    if depth >= _DEEPEST:
        return "…"  # also the end of a structure that holds itself
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple | Set):
        return [_redact(item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return redact_text(bytes(value).decode("utf-8", "replace"))
    fields = _fields(value)
    return redact_text(_text(value)) if fields is None else _mapping(fields, depth)


def _mapping(value: Mapping[Any, object], depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = _text(key)
        hidden = looks_secret(name) and item is not None and not isinstance(item, bool)
        result[redact_text(name)] = REDACTED if hidden else _redact(item, depth + 1)
    return result


def _fields(value: object) -> Mapping[str, object] | None:
    # By field, so that a secret is found by its name; in a repr only its text could give it away.
    if isinstance(value, type):
        return None
    names: Any = getattr(type(value), "model_fields", None)
    if isinstance(names, Mapping):
        return {name: getattr(value, name, None) for name in names}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # a broken __str__ must not cost the line; what happened stands in its place
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"
