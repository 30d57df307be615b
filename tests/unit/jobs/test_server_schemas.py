"""Arguments against schemas of strangers: what is surely wrong is said, and nothing takes for ever."""

from __future__ import annotations

from typing import Any

import pytest

from minoots_activities.jobs.globs import TooMuchWorkError
from minoots_activities.jobs.servers.schemas import faults


def of(**properties: Any) -> dict[str, Any]:
    """A schema of these fields."""
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "arguments", "fault"),
    [
        (of(a={"type": "string"}), {"a": 1}, "arguments.a: expected string; got 1"),
        (of(a={"type": "integer"}), {"a": True}, "arguments.a: expected integer; got true"),
        (of(a={"type": ["integer", "null"]}), {"a": "x"}, 'arguments.a: expected integer or null; got "x"'),
        (of(a={"enum": [1, 2]}), {"a": True}, "arguments.a: expected one of [1, 2]; got true"),
        (of(a={"const": "x"}), {"a": "y"}, 'arguments.a: expected one of ["x"]; got "y"'),
        (of(a={"minimum": 2}), {"a": 1}, "arguments.a: expected a number of at least 2; got 1"),
        (
            of(a={"maxItems": 1}),
            {"a": [1, 2]},
            "arguments.a: expected a list with a length of at most 1; got [1, 2]",
        ),
        (of(a={"items": {"type": "string"}}), {"a": ["x", 2]}, "arguments.a.1: expected string; got 2"),
        (
            of(a={"prefixItems": [{}], "items": False}),
            {"a": [1, 2]},
            "arguments.a.1: expected nothing; got 2",
        ),
        ({"required": ["a"]}, {}, "arguments.a: expected a value; got none"),
        (
            of(a={}) | {"additionalProperties": False},
            {"b": 1},
            'arguments.b: expected no such field; there are ["a"]',
        ),
        (
            of(a={"anyOf": [{"type": "null"}, {"type": "string"}]}),
            {"a": 1},
            "arguments.a: expected null; got 1",
        ),
        (
            of(a={"allOf": [{"minLength": 2}]}),
            {"a": "x"},
            "arguments.a: expected a text with a length of at least 2",
        ),
        (
            of(a={"$ref": "#/$defs/x~1y"}) | {"$defs": {"x/y": {"type": "string"}}},
            {"a": 1},
            "arguments.a: expected string; got 1",
        ),
    ],
)
def test_what_is_wrong_is_said(schema: dict[str, Any], arguments: dict[str, Any], fault: str) -> None:
    [found] = faults(schema, arguments)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (of(a={"type": "integer"}), {"a": 2.0}),
        (of(a={"type": "number"}), {"a": 2}),
        (of(a={"oneOf": [{"type": "string"}, {"pattern": "x"}]}), {"a": "y"}),
        (of(a={"pattern": "^(a+)+$"}), {"a": "a" * 60 + "!"}),
        (of(a={"$ref": "https://example.org/schema"}), {"a": 1}),
        (of(a={"$ref": "#/$defs/none"}), {"a": 1}),
        (of(a={"type": "anything", "minimum": "x", "enum": 5, "anyOf": {}, "required": 1}), {"a": "y"}),
        (of() | {"additionalProperties": False, "patternProperties": {"^(a+)+$": {}}}, {"a" * 60 + "!": 1}),
        ({"properties": []}, {"a": 1}),
        ({"type": 1, "items": 3}, {"a": 1}),
        (of(a={"type": ["string", 5]}), {"a": 1}),
    ],
)
def test_what_may_be_is_left_to_the_server(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert faults(schema, arguments) == ()


def test_no_more_is_said_than_helps() -> None:
    schema = {"required": [f"f{number}" for number in range(100)]}
    assert len(faults(schema, {})) == 5


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {
            "$ref": "#/$defs/0",
            "$defs": {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)}
            | {"60": False},
        },
    ],
)
def test_one_that_takes_for_ever_is_given_up(schema: dict[str, Any]) -> None:
    with pytest.raises(TooMuchWorkError):
        faults(schema, {"a": 1})


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        # What is told of each fault would be written out, and sorted, again and again.
        (of(a={"anyOf": [{"type": "null"}] * 4000}), {"a": ["x" * 100_000]}),
        (
            {"anyOf": [{"properties": {f"k{n}": {} for n in range(2000)}, "additionalProperties": False}]},
            {f"z{n}": 1 for n in range(1000)},
        ),
    ],
)
def test_telling_of_what_is_wrong_is_work_that_has_an_end(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    with pytest.raises(TooMuchWorkError):
        faults(schema, arguments)
