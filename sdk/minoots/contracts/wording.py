"""What a value should have been, in plain words: pydantic's findings as `FieldProblem` texts.

The service and the SDK answer in the same words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from minoots.durations import format_duration

from .actions import TAGS
from .base import RFC3339

_BY_TYPE: Final[Mapping[str, str]] = {
    "missing": "a value (it is required)",
    "extra_forbidden": "no such field",
    "string_type": "text",
    "string_unicode": "text in UTF-8",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "datetime_parsing": RFC3339,
    "datetime_from_date_parsing": RFC3339,
    "datetime_type": RFC3339,
    "timezone_aware": RFC3339,
    "union_tag_not_found": "a kind that says which fields there are",
}
_TAG_OF_ENUM: Final = re.compile(r"<[\w.]+: ('[^']*')>")
_BY_VALUE: Final = r"\1"
_OF_OBJECTS: Final = ("dict_type", "model_type", "model_attributes_type")
_BY_CONTEXT: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "greater_than_equal": lambda given: f"{given['ge']} or more",
    "greater_than": lambda given: f"more than {given['gt']}",
    "less_than_equal": lambda given: f"{given['le']} or less",
    "less_than": lambda given: f"less than {given['lt']}",
    "string_too_short": lambda given: f"at least {_count(given['min_length'], 'character')}",
    "string_too_long": lambda given: f"at most {_count(given['max_length'], 'character')}",
    "too_short": lambda given: f"at least {_count(given['min_length'], 'item')}",
    "too_long": lambda given: f"at most {_count(given['max_length'], 'item')}",
    "literal_error": lambda given: f"one of {given['expected']}".replace(" or ", ", "),
    "enum": lambda given: f"one of {given['expected']}".replace(" or ", ", "),
    "union_tag_invalid": lambda given: f"one of {_TAG_OF_ENUM.sub(_BY_VALUE, given['expected_tags'])}",
}
_SHOWN: Final = 100
_UNIONS: Final = (["actions"], ["contacts"], ["targets"])
"""Lists whose items are told apart by tags of ours, which clients do not write."""


def findings(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return pydantic's findings without those that only repeat another.

    A list whose only item is at fault counts as empty too: the item says it all.
    """
    return [
        item
        for item in items
        if not (item["type"] == "too_short" and any(_within(other["loc"], item["loc"]) for other in items))
    ]


def expected_and_got(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return what was expected and what came, for one finding of pydantic."""
    kind, context = item["type"], item.get("ctx") or {}
    if kind == "missing":
        return _BY_TYPE[kind], "nothing"
    if kind in _OF_OBJECTS and isinstance(item.get("input"), bytes):
        # A body that was not taken for JSON, for nothing said that it is.
        return "an object in JSON, sent with Content-Type: application/json", shown(item["input"])
    if kind == "union_tag_invalid" and "tag" in context:
        return _BY_CONTEXT[kind](context), shown(context["tag"])
    if kind in _BY_TYPE:
        return _BY_TYPE[kind], shown(item.get("input"))
    if kind in _BY_CONTEXT:
        return _BY_CONTEXT[kind](context), shown(item.get("input"))
    expected, stated, got = str(item["msg"]).removeprefix("Value error, ").partition("; got ")
    return expected.removeprefix("expected "), got if stated else shown(item.get("input"))


def shown(value: Any) -> str:
    """Return a piece of ``value`` as JSON, or as text where it is none."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, timedelta):
        return format_duration(value)
    try:
        text = json.dumps(value, ensure_ascii=True, default=str)
    except (ValueError, RecursionError):
        return "a value that cannot be shown"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def place(item: Mapping[str, Any]) -> list[str]:
    """Return the path of a finding as the client wrote it: without the names of the kinds of a union."""
    parts = [str(part) for part in item["loc"]]
    kept = [
        part
        for index, part in enumerate(parts)
        if not (part in TAGS and parts[index - 2 : index - 1] in _UNIONS)
    ]
    if item["type"].startswith("union_tag"):
        by = str(item.get("ctx", {}).get("discriminator", "")).strip("'")
        return [*kept, by if by.isidentifier() else "kind"]
    return kept


def _within(location: Sequence[Any], outer: Sequence[Any]) -> bool:
    return len(location) > len(outer) and tuple(location[: len(outer)]) == tuple(outer)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
