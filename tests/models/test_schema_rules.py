"""A schema is refused for what the library would refuse it for, at the place where it is wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from minoots_platform.models.schema_rules import fault_of_answers, fault_of_arguments

_KEYWORDS = (
    "type items prefixItems anyOf allOf not properties $defs dependentSchemas required dependentRequired "
    "enum maxLength minItems multipleOf minimum exclusiveMaximum uniqueItems deprecated title format default "
    "const"
).split()
_VALUES: tuple[Any, ...] = (0, 1, -1, 1.0, 1.5, True, None, "object", "tea", 10**20, [], {})


def _schema(chance: random.Random, depth: int) -> dict[str, Any]:
    return {chance.choice(_KEYWORDS): _value(chance, depth - 1) for _ in range(chance.randint(0, 2))}


def _value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(5) if depth > 0 else 0
    several = range(chance.randint(0, 3))
    match kind:
        case 1:
            return [chance.choice(["a", "object", "string", 1, {}, True]) for _ in several]
        case 2:
            return _schema(chance, depth)
        case 3:
            return {str(number): _value(chance, depth) for number in several}
        case 4:
            return [_schema(chance, depth) for _ in several]
    return chance.choice(_VALUES)


def test_the_verdict_is_that_of_the_library() -> None:
    chance, refused = random.Random(16), 0
    for _ in range(1500):
        schema = _schema(chance, 3)
        try:
            Draft202012Validator.check_schema(schema)
            sound = True
        except SchemaError:
            sound, refused = False, refused + 1
        assert (fault_of_answers(schema) is None) is sound, schema
        if "type" not in schema:
            assert (fault_of_arguments(schema) is None) is sound, schema
    assert 100 < refused < 1400


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"cups": {"type": "cup"}}}, "properties.cups.type"),
        ({"anyOf": [{}, {"items": 3}]}, "anyOf.1.items"),
        ({"anyOf": []}, "anyOf"),
        ({"required": ["a", "a"]}, "required"),
        ({"$defs": {"a": {"minLength": -1}}}, "$defs.a.minLength"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"c": {}}}, "properties.a.$ref"),
        ({"$ref": "#anchor"}, "$ref"),
        ({"$ref": "https://example.org/schema.json"}, "$ref"),
        ({"$ref": "#/prefixItems/1", "prefixItems": [{}]}, "$ref"),
    ],
)
def test_the_place_is_named(schema: dict[str, Any], place: str) -> None:
    fault = fault_of_answers(schema)
    assert fault is not None
    assert ".".join(fault.place) == place


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"$anchor": "here"}}},
        {"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}},
        {"$ref": "#/prefixItems/0", "prefixItems": [{"$ref": "#"}]},
        {"$ref": "other", "$defs": {"a": {"$id": "other"}}},
        {"properties": {"$ref": {"type": "string"}}, "const": {"$ref": "#/nowhere", "type": "tea"}},
    ],
)
def test_references_and_names_that_look_like_them_are_told_apart(schema: dict[str, Any]) -> None:
    assert fault_of_answers(schema) is None


def test_arguments_are_an_object_and_may_be_of_another_draft() -> None:
    fault = fault_of_arguments({"type": "string"})
    assert fault is not None
    assert fault.place == ("type",)
    draft = {"$schema": "http://json-schema.org/draft-04/schema#"}
    old = {"type": "object", "properties": {"a": {"minimum": 1, "exclusiveMinimum": True}}}
    assert fault_of_arguments({**draft, **old}) is None
    assert fault_of_arguments(old) is not None
    assert fault_of_arguments({"properties": {"a": {"pattern": "^x"}}}) is None, "it is shown, not applied"
    assert fault_of_arguments({}) is None
