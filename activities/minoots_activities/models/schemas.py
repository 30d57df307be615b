"""Holding a text against a JSON Schema, without fetching anything that the schema refers to.

Owns the bounds of that work, for schema and text are a stranger's: no regular expressions, no deep nesting, a
bounded number of steps. Must not raise anything but `ModelFailure`: another
error would have a paid call made again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, UnknownType, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import CannotDetermineSpecification, Unresolvable

from minoots.contracts.models import ModelErrorKind
from minoots_workflows.models.failures import ModelFailure

DEEPEST: Final = 64
"""Objects and lists within each other, of a schema and of an answer."""
MOST_STEPS: Final = 50_000
"""Of holding a schema against an answer: references multiply, to 2 to the 30th in 30 lines."""
_LOST: Final = (
    re.error,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    UnknownType,
    CannotDetermineSpecification,
)
"""What the library raises where a $ref names a place that is no schema."""


class _TooManySteps(Exception):
    """A schema has more work done than it may."""


def hold(text: str, schema: Mapping[str, Any]) -> None:
    """Return when a text is JSON of the schema.

    Raises:
        ModelFailure: bad_answer, when it is not, without repeating it; invalid, when the schema cannot
            be applied.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _bad(f"got no JSON: {error}") from None
    except RecursionError:
        raise _bad(f"got JSON that nests deeper than {DEEPEST} levels") from None
    if _deeper(found):
        raise _bad(f"got JSON that nests deeper than {DEEPEST} levels")
    try:
        # Of an empty registry: by itself the library would fetch what a $ref names.
        validator = _bounded()(_plain(schema), registry=Registry())
        wrong = next(validator.iter_errors(found), None)
    except Unresolvable as error:
        raise _invalid(f"the schema refers to {str(error.ref)[:200]}, which is not in it") from None
    except RecursionError:
        raise _invalid("the schema refers to itself without end") from None
    except _TooManySteps:
        raise _invalid(
            f"the schema takes more than {MOST_STEPS} steps to be held against the answer"
        ) from None
    except _LOST as error:
        raise _invalid(f"the schema cannot be applied ({type(error).__name__})") from None
    if wrong is not None:
        place = ".".join(str(part) for part in wrong.absolute_path) or "the whole"
        raise _bad(f"{place} breaks {wrong.validator}")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Return when a schema is one that answers can be held against.

    Raises:
        ModelFailure: invalid.
    """
    plain = _plain(schema)
    if _deeper(plain):
        raise _invalid(f"got one that nests deeper than {DEEPEST} levels", "Make it flatter, with $defs.")
    _refuse_expressions(plain)
    try:
        Draft202012Validator.check_schema(plain)
    except SchemaError as error:
        raise _invalid(str(error.message)[:300]) from None
    except RecursionError:
        raise _invalid("got one that nests too deep", "Make it flatter, with $defs.") from None
    except _LOST as error:
        raise _invalid(f"got one that cannot be read ({type(error).__name__})") from None


def _refuse_expressions(schema: Mapping[str, Any]) -> None:
    """Refuse regular expressions wherever they stand, for a $ref may name any place as a schema."""
    waiting: list[tuple[str, Any]] = [("", schema)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, list):
            waiting += [(f"{place}[{number}]", part) for number, part in enumerate(one)]
        if not isinstance(one, dict):
            continue
        for name, part in one.items():
            at = f"{place}.{name}".lstrip(".")
            # A property may be called pattern: then a schema stands there, and no text.
            if (name == "pattern" and isinstance(part, str)) or (
                name == "patternProperties" and isinstance(part, dict)
            ):
                raise _invalid(
                    f"got a regular expression at {at[:200]}, and none is applied here",
                    f"Leave {name} out; name what is allowed by enum or properties.",
                )
            if name == "$schema" and isinstance(part, str):
                raise _invalid(
                    f"got another $schema at {at[:200]}", "Leave it out: all of it is read as Draft 2020-12."
                )
            waiting.append((at, part))


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without its ``$schema``: by it a part would be read by another class."""
    return {name: part for name, part in schema.items() if name != "$schema"}


def _deeper(value: Any) -> bool:
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


def _bounded() -> Any:
    """Return the class of validators whose steps are counted; the library makes a new one for each step."""
    made: Any = extend(Draft202012Validator, {"uniqueItems": _unique})
    plain, left = made.evolve, MOST_STEPS

    def evolve(self: Any, **changes: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooManySteps
        return plain(self, **changes)

    made.evolve = evolve
    return made


def _unique(validator: Any, wanted: Any, items: Any, schema: Any) -> Iterator[ValidationError]:
    """Yield an error where an item comes twice; the library's own compares each with each."""
    if wanted is True and isinstance(items, list) and len({_key(one) for one in items}) < len(items):
        yield ValidationError("an item comes twice")


def _key(value: Any) -> Any:
    """Return what equal values of JSON have in common: 1 is 1.0, but not true."""
    match value:
        case bool():
            return ("bool", value)
        case list():
            return ("list", tuple(_key(one) for one in value))
        case dict():
            return ("dict", frozenset((name, _key(one)) for name, one in value.items()))
    return value


def _bad(wrong: str) -> ModelFailure:
    return ModelFailure(ModelErrorKind.BAD_ANSWER, f"expected an answer of the schema that was sent; {wrong}")


def _invalid(wrong: str, remedy: str = "Correct the schema.") -> ModelFailure:
    return ModelFailure(
        ModelErrorKind.INVALID, f"json_schema: expected a JSON Schema; {wrong}", remedy=remedy
    )
