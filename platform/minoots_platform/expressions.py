"""Expressions of users: CEL, checked before anything is accepted and bounded when it is evaluated.

Owns what an expression may be and may see. Evaluation happens in activities and in the gateway, never in
workflow code: the library is not deterministic across its versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from minoots.contracts.base import check_json

MAX_ITEMS: Final = 1000
MAX_TEXT: Final = 16 * 1024
"""Collections of more items and texts of more characters are not seen by expressions: a rule that is run over
them for each of their items would hold up everybody else's timers."""

_MACRO: Final = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_TEXT: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")

DYN: Final = cel.Type.DYN
TEXTS: Final = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
OBJECTS: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)


class ExpressionFault(ValueError):
    """An expression that cannot be compiled, or gave no value; the text is for its author."""


class Expressions:
    """Expressions over a set of named variables."""

    def __init__(self, **variables: cel.Type) -> None:
        self._environment = cel.NewEnv(variables=variables)
        self._names = ", ".join(sorted(variables))
        self._compiled = lru_cache(maxsize=2048)(self._compile)

    def check(self, text: str, *, condition: bool) -> None:
        """Refuse what could not be evaluated, whatever the data.

        Raises:
            ExpressionFault: for a fault of grammar or type, an unknown variable, or more than one loop; and
                of a ``condition`` that is never true or false.
        """
        kind = self._compiled(text).return_type().name()
        if condition and kind not in ("BOOL", "DYN"):
            raise ExpressionFault(f"expected an expression that is true or false; this gives {kind.lower()}")

    def holds(self, text: str, data: Mapping[str, Any]) -> bool:
        """Tell whether a condition is true.

        Raises:
            ExpressionFault: when it cannot be told.
        """
        found = self.value(text, data)
        if not isinstance(found, bool):
            raise ExpressionFault(f"it gave {type(found).__name__}, not true or false")
        return found

    def value(self, text: str, data: Mapping[str, Any]) -> Any:
        """Return the value of an expression, as JSON.

        Raises:
            ExpressionFault: when there is none.
        """
        program = self._compiled(text)
        try:
            found = program.eval(data={name: _seen(value) for name, value in data.items()})
        except RuntimeError as error:
            raise ExpressionFault(_first_line(error)) from error
        if found.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise ExpressionFault(_first_line(found.value()))
        value = _as_json(found.plain_value())
        try:
            check_json(value, "its value")
        except ValueError as error:
            raise ExpressionFault(str(error)) from error
        return value

    def _compile(self, text: str) -> cel.Expression:
        loops = _MACRO.findall(_TEXT.sub("''", text))
        if "map" in loops or "filter" in loops:
            raise ExpressionFault("expected no map and no filter: they build lists; use exists or all")
        if len(loops) > 1:
            raise ExpressionFault(f"expected at most one of exists, exists_one and all; got {len(loops)}")
        try:
            return self._environment.compile(text)
        except RuntimeError as error:
            raise ExpressionFault(f"{_first_line(error)}; variables are {self._names}") from error


def _seen(value: Any) -> Any:
    if isinstance(value, Mapping):
        if len(value) > MAX_ITEMS:
            return {}
        return {str(key): _seen(item) for key, item in value.items() if not _too_large(item)}
    if isinstance(value, list | tuple):
        return [_seen(item) for item in value if not _too_large(item)]
    return value


def _too_large(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_TEXT
    return isinstance(value, Mapping | list | tuple) and len(value) > MAX_ITEMS


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    raise ExpressionFault(f"it gave a {type(value).__name__}, which JSON has not; convert it with string(…)")


def _first_line(error: object) -> str:
    """Return what the library says, without its code and its drawing of the place."""
    line = str(error).partition("\n")[0]
    line = re.sub(r"^[A-Z_]+: (?:ERROR: <input>:)?", "", line)
    return re.sub(r"^(\d+):(\d+): ", r"at character \2: ", line).removesuffix(" (in container '')").strip()
