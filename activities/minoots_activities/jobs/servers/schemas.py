"""Arguments held against the JSON Schema that a server gives of its tool.

Both are strangers': the schema is the server's, the arguments are a model's. So the work is counted and has
an end, nothing is fetched, and no pattern is run, for one can be made to search for ever. What is not looked
at here (``pattern``, ``format``, ``not``, ``if`` and the like) the server sees to itself: whatever is refused
here is surely wrong, and ``oneOf`` asks for one of its schemas, not for exactly one. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from minoots_activities.jobs.globs import TooMuchWorkError, Work

_STEPS: Final = 50_000
_DEEPEST: Final = 100
_MOST_FAULTS: Final = 5
_SHOWN: Final = 100

_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}
_BOUNDS: Final[dict[str, tuple[str, Callable[[Any, Any], bool], str]]] = {
    "minimum": ("number", lambda value, least: value >= least, "a number of at least"),
    "maximum": ("number", lambda value, most: value <= most, "a number of at most"),
    "exclusiveMinimum": ("number", lambda value, least: value > least, "a number above"),
    "exclusiveMaximum": ("number", lambda value, most: value < most, "a number below"),
    "minLength": ("string", lambda value, least: len(value) >= least, "a text with a length of at least"),
    "maxLength": ("string", lambda value, most: len(value) <= most, "a text with a length of at most"),
    "minItems": ("array", lambda value, least: len(value) >= least, "a list with a length of at least"),
    "maxItems": ("array", lambda value, most: len(value) <= most, "a list with a length of at most"),
}


def faults(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of the arguments the schema surely does not allow, for the model; nothing if all may be.

    Raises:
        TooMuchWorkError: it takes longer to find out than it may.
    """
    held = _Holding(schema)
    found = []
    for fault in held.against(schema, dict(arguments), "arguments", 0):
        found.append(fault)
        if len(found) == _MOST_FAULTS:
            break
    return tuple(found)


class _Holding:
    """One schema, with the work that may be spent on it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._work = Work(_STEPS)

    def against(self, schema: Any, value: Any, at: str, depth: int) -> Iterator[str]:
        """Yield what is wrong with a value."""
        self._work.take(1)
        if depth > _DEEPEST:
            raise TooMuchWorkError
        if schema is False:
            yield f"{at}: expected nothing; got {self._shown(value)}"
        if not isinstance(schema, dict):
            return
        yield from self._itself(schema, value, at)
        yield from self._alternatives(schema, value, at, depth)
        if isinstance(value, dict):
            yield from self._fields(schema, value, at, depth)
        elif isinstance(value, list):
            before = schema.get("prefixItems")
            first = len(before) if isinstance(before, list) else 0
            for index, item in enumerate(value[first:], start=first):
                yield from self.against(schema.get("items", True), item, f"{at}.{index}", depth + 1)

    def _itself(self, schema: dict[str, Any], value: Any, at: str) -> Iterator[str]:
        """Yield what is wrong with a value, whatever is in it."""
        wanted = schema.get("type")
        names = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list) else []
        # Of what is no name of a type nobody knows what it allows: all, as with a name that is not known.
        tests = [_TYPES.get(name) if isinstance(name, str) else None for name in names]
        if tests and not any(test is None or test(value) for test in tests):
            yield f"{at}: expected {' or '.join(names)}; got {self._shown(value)}"
            return
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(choices, list):
            self._work.take(len(choices))
            if not any(_same(value, choice) for choice in choices):
                yield f"{at}: expected one of {self._shown(choices)}; got {self._shown(value)}"
        for name, (kind, holds, said) in _BOUNDS.items():
            bound = schema.get(name)
            if _TYPES["number"](bound) and _TYPES[kind](value) and not holds(value, bound):
                yield f"{at}: expected {said} {bound}; got {self._shown(value)}"

    def _alternatives(self, schema: dict[str, Any], value: Any, at: str, depth: int) -> Iterator[str]:
        if isinstance(schema.get("$ref"), str):
            yield from self.against(self._named(schema["$ref"]), value, at, depth + 1)
        for every in _schemas(schema.get("allOf")):
            yield from self.against(every, value, at, depth + 1)
        for name in ("anyOf", "oneOf"):
            some = _schemas(schema.get(name))
            tried = []
            for one in some:
                tried.append(list(self.against(one, value, at, depth + 1)))
                if not tried[-1]:
                    break
            if tried and tried[-1]:
                # Of what comes nearest, so that the model has something to go by.
                yield min(tried, key=len)[0]

    def _fields(self, schema: dict[str, Any], value: dict[str, Any], at: str, depth: int) -> Iterator[str]:
        required = schema.get("required")
        for name in required if isinstance(required, list) else ():
            self._work.take(1)
            if isinstance(name, str) and name not in value:
                yield f"{at}.{name}: expected a value; got none"
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        others = schema.get("additionalProperties", True) if "patternProperties" not in schema else True
        for name, item in value.items():
            if name in known:
                yield from self.against(known[name], item, f"{at}.{name}", depth + 1)
            elif others is False:
                self._work.take(1 + len(known))
                there = self._shown(sorted(known))
                yield f"{at}.{name[:_SHOWN]}: expected no such field; there are {there}"
            else:
                yield from self.against(others, item, f"{at}.{name[:_SHOWN]}", depth + 1)

    def _named(self, reference: str) -> Any:
        """Return what a reference within the schema means; what is elsewhere allows everything."""
        if reference != "#" and not reference.startswith("#/"):
            return True
        found: Any = self._root
        for part in reference[2:].split("/") if len(reference) > 1 else ():
            self._work.take(1)
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                return True
            found = found[key]
        return found

    def _shown(self, value: Any) -> str:
        """Return the beginning of a value as it is told; to write out a large one is work, too."""
        text = json.dumps(value[: _SHOWN + 1] if isinstance(value, str) else value, ensure_ascii=False)
        self._work.take(len(text) // _SHOWN)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _schemas(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _same(one: Any, other: Any) -> bool:
    # JSON knows truth from 1, and Python does not.
    return isinstance(one, bool) == isinstance(other, bool) and one == other
