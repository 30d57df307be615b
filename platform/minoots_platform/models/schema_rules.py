"""What a JSON Schema of a request has to be: one of Draft 2020-12, and one that can be applied in bounds.

Owns what can be told of a schema by reading it once, so that it is refused while whoever sent it still
listens. The library's own check takes seconds for 64 KB of a stranger's choice; this one reads each byte
once or twice. Pure; it applies no schema, and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

DEEPEST: Final = 64
"""Objects and lists within each other."""
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
_SCHEMA: Final = frozenset(
    "items contains additionalProperties propertyNames if then else not unevaluatedItems "
    "unevaluatedProperties contentSchema".split()
)
_SCHEMAS: Final = frozenset({"prefixItems", "allOf", "anyOf", "oneOf"})
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_COUNTS: Final = frozenset(
    "maxLength minLength maxItems minItems maxContains minContains maxProperties minProperties".split()
)
_NUMBERS: Final = frozenset({"maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf"})
_TEXTS: Final = frozenset(
    "$id $schema $ref $anchor $dynamicRef $dynamicAnchor $comment title description format pattern "
    "contentEncoding contentMediaType".split()
)
_SWITCHES: Final = frozenset({"uniqueItems", "deprecated", "readOnly", "writeOnly"})
_LISTS: Final = frozenset({"enum", "examples"})


class SchemaFault(NamedTuple):
    """The first thing that is wrong with a schema."""

    place: tuple[str, ...]
    """Where, from its root on."""
    expected: str
    got: str
    remedy: str = "Correct the schema."


def fault_of_answers(schema: Mapping[str, Any]) -> SchemaFault | None:
    """Return what keeps answers from being held against a schema; ``None`` when nothing is seen to."""
    if deeper(schema):
        return _DEEP
    # By its $schema it would be read by other rules, so that of the whole is left out, wherever one is held.
    plain = {name: part for name, part in schema.items() if name != "$schema"}
    return next(_expressions(plain), None) or next(_misshapen(plain), None) or next(_dangling(plain), None)


def fault_of_arguments(schema: Mapping[str, Any]) -> SchemaFault | None:
    """Return what keeps a schema from being one of a tool's arguments, which models are shown as it stands.

    One that names another draft by ``$schema`` is held to that it is of an object alone.
    """
    if deeper(schema):
        return _DEEP
    if schema.get("$schema", _DRAFT) == _DRAFT and (found := next(_misshapen(schema), None)) is not None:
        return found
    if schema.get("type", "object") != "object":
        return SchemaFault(("type",), "object, for arguments have names", _shown(schema["type"]))
    return None


_DEEP: Final = SchemaFault(
    (), "a JSON Schema", f"one that nests deeper than {DEEPEST} levels", "Make it flatter, with $defs."
)


def deeper(value: Any) -> bool:
    """Tell whether something nests deeper than it may."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for one in level
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in level)


def _expressions(schema: Mapping[str, Any]) -> Iterator[SchemaFault]:
    """Yield regular expressions and other drafts wherever they stand, for a $ref may name any place."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, list):
            waiting += [((*place, str(number)), part) for number, part in enumerate(one)]
        if not isinstance(one, dict):
            continue
        for name, part in one.items():
            at = (*place, name)
            # A property may be called pattern: then a schema stands there, and no text.
            if (name == "pattern" and isinstance(part, str)) or (
                name == "patternProperties" and isinstance(part, dict)
            ):
                remedy = f"Leave {name} out; name what is allowed by enum or properties."
                yield SchemaFault(at, "no regular expression, for none is applied", _shown(part), remedy)
            if name == "$schema" and isinstance(part, str):
                remedy = "Leave it out: all of it is read as Draft 2020-12."
                yield SchemaFault(at, "one draft for all of the schema", _shown(part), remedy)
            waiting.append((at, part))


def _schemas(schema: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what stands where a schema is expected, with its place."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while waiting:
        place, one = waiting.pop()
        yield place, one
        if not isinstance(one, dict):
            continue
        for name, part in one.items():
            if name in _SCHEMA:
                waiting.append(((*place, name), part))
            elif name in _SCHEMAS and isinstance(part, list):
                waiting += [((*place, name, str(number)), each) for number, each in enumerate(part)]
            elif name in _NAMED and isinstance(part, dict):
                waiting += [((*place, name, key), each) for key, each in part.items()]


def _misshapen(schema: Mapping[str, Any]) -> Iterator[SchemaFault]:
    """Yield keywords whose values they cannot have."""
    for place, one in _schemas(schema):
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            yield SchemaFault(place, "a schema: an object, true or false", _shown(one))
            continue
        for name, part in one.items():
            for of, sound, expected in _RULES:
                if name in of and not sound(part):
                    yield SchemaFault((*place, name), expected, _shown(part))


def _dangling(schema: Mapping[str, Any]) -> Iterator[SchemaFault]:
    """Yield references to what is not in the schema; with an ``$id`` anywhere they mean another place."""
    found = [(place, one) for place, one in _schemas(schema) if isinstance(one, dict)]
    if any("$id" in one for _, one in found):
        return
    anchors = {one.get(name) for _, one in found for name in ("$anchor", "$dynamicAnchor")}
    for place, one in found:
        for name in ("$ref", "$dynamicRef"):
            wanted = one.get(name)
            if not isinstance(wanted, str):
                continue
            root, _, fragment = wanted.partition("#")
            inside = (
                _has(schema, fragment) if fragment.startswith("/") or not fragment else fragment in anchors
            )
            if root or not inside:
                remedy = "Put it into $defs of the schema, and name it as #/$defs/…; nothing is fetched."
                yield SchemaFault((*place, name), "a place in the schema itself", _shown(wanted), remedy)


def _has(schema: Any, pointer: str) -> bool:
    """Tell whether a JSON pointer names a place."""
    for step in pointer.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict) and key in schema:
            schema = schema[key]
        elif isinstance(schema, list) and key.isascii() and key.isdigit() and int(key) < len(schema):
            schema = schema[int(key)]
        else:
            return False
    return True


def _shown(value: Any) -> str:
    return (
        "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)[:100]
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _names(value: Any) -> bool:
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return texts and len(set(value)) == len(value)


def _type(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and _names(value) and set(value) <= set(_TYPES)
    return isinstance(value, str) and value in _TYPES


_RULES: Final[tuple[tuple[frozenset[str], Callable[[Any], bool], str], ...]] = (
    (frozenset({"type"}), _type, f"one of {', '.join(_TYPES)}, or a list of some of them, none twice"),
    (_SCHEMAS, lambda value: isinstance(value, list) and bool(value), "a list of at least one schema"),
    (_NAMED, lambda value: isinstance(value, dict), "an object of schemas by name"),
    (_COUNTS, _count, "a whole number of 0 or more"),
    (frozenset({"multipleOf"}), lambda value: _number(value) and value > 0, "a number above 0"),
    (_NUMBERS, _number, "a number"),
    (frozenset({"required"}), _names, "a list of texts, none twice"),
    (
        frozenset({"dependentRequired"}),
        lambda value: isinstance(value, dict) and all(map(_names, value.values())),
        "an object of lists of texts, none twice",
    ),
    (_TEXTS, lambda value: isinstance(value, str), "a text"),
    (_SWITCHES, lambda value: isinstance(value, bool), "true or false"),
    (_LISTS, lambda value: isinstance(value, list), "a list"),
)
