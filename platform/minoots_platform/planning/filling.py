"""Payloads with expressions in them: ``{"$cel": "nodes.build.response.id"}`` becomes the value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from minoots_platform.expressions import ExpressionFault

from .language import EXPRESSIONS

MARK: Final = "$cel"
Data = Callable[[str], Mapping[str, Any]]
"""What an expression sees."""


def fill(payload: Any, data: Data) -> Any:
    """Return ``payload`` with every expression replaced by its value.

    Raises:
        ExpressionFault: naming the place of one that gave no value.
    """
    return _fill(payload, data, "payload")


def expressions_in(payload: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield each expression in a payload with its place."""
    if isinstance(payload, dict):
        if set(payload) == {MARK}:
            yield f"{where}.{MARK}", payload[MARK]
            return
        for key, item in payload.items():
            yield from expressions_in(item, f"{where}.{key}")
    elif isinstance(payload, list):
        for index, item in enumerate(payload):
            yield from expressions_in(item, f"{where}.{index}")


def _fill(value: Any, data: Data, where: str) -> Any:
    if isinstance(value, dict):
        if set(value) == {MARK}:
            try:
                return EXPRESSIONS.value(value[MARK], data(value[MARK]))
            except ExpressionFault as fault:
                raise ExpressionFault(f"{where}: {fault}") from fault
        return {key: _fill(item, data, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, data, f"{where}.{index}") for index, item in enumerate(value)]
    return value
