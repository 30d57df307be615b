"""Holding a text against a JSON Schema, without fetching anything that the schema refers to.

Owns the bounds of that work, for schema and text are a stranger's: what `schema_rules` lets pass, and then a
bounded number of steps. Must not raise anything but `ModelFailure`: another
error would have a paid call made again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import UnknownType, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import CannotDetermineSpecification, Unresolvable

from minoots.contracts.models import ModelErrorKind
from minoots_platform.models.schema_rules import DEEPEST, deeper, fault_of_answers
from minoots_workflows.models.failures import ModelFailure

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
    if deeper(found):
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
    fault = fault_of_answers(schema)
    if fault is not None:
        place = ".".join(("json_schema", *fault.place))[:300]
        raise ModelFailure(
            ModelErrorKind.INVALID,
            f"{place}: expected {fault.expected}; got {fault.got}",
            remedy=fault.remedy,
        )


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without its ``$schema``: by it a part would be read by another class."""
    return {name: part for name, part in schema.items() if name != "$schema"}


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


def _invalid(wrong: str) -> ModelFailure:
    return ModelFailure(
        ModelErrorKind.INVALID,
        f"json_schema: expected a JSON Schema; {wrong}",
        remedy="Correct the schema.",
    )
