"""Holding a text against a JSON Schema, without fetching anything that the schema refers to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable


def faults(text: str, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a text, without repeating it; ``None`` when it is JSON of the schema."""
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"got no JSON: {error}"
    # Of an empty registry: by itself the library would fetch what a $ref names.
    validator = Draft202012Validator(dict(schema), registry=Registry())
    try:
        wrong = next(validator.iter_errors(found), None)
    except Unresolvable as error:
        return f"the schema refers to {error.ref}, which is not in it"
    if wrong is None:
        return None
    place = ".".join(str(part) for part in wrong.absolute_path) or "the whole"
    return f"{place} breaks {wrong.validator}"


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a schema itself; ``None`` when it is one."""
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        return str(error.message)
    return None
