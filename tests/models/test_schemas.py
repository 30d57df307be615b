"""Schemas and answers of strangers: whatever they are, the work is bounded and the failure is a model's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from model_servers import asked, caller, heard, model_server, routing

from minoots.contracts.models import ModelErrorKind
from minoots_activities.models.schemas import check_schema, hold
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

K = ModelErrorKind


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"items": found}
    return found


def doubling(levels: int) -> dict[str, Any]:
    """A schema of few lines whose references come to 2 to the ``levels`` steps."""
    steps = {f"d{one}": {"allOf": [{"$ref": f"#/$defs/d{one + 1}"}] * 2} for one in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{levels}": {}}}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"properties": {"name": {"pattern": "^(.|.)*\0$"}}}, "properties.name.pattern"),
        ({"pattern": "("}, "json_schema.pattern: expected no regular expression"),
        ({"$ref": "#/x/0", "x": [{"pattern": "a"}]}, "x.0.pattern"),
        ({"patternProperties": {"^(.|.)*\0$": True}}, "json_schema.patternProperties"),
        ({"$ref": "#/nowhere"}, r"json_schema.\$ref: expected a place in the schema itself"),
        ({"$defs": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, r"a.\$schema"),
        (nested(65), "deeper than 64"),
        (nested(5000), "deeper than 64"),
        ({"type": "nonsense"}, "json_schema.type: expected one of array"),
    ],
)
def test_a_schema_that_cannot_be_applied_in_bounds_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelFailure, match=says) as failed:
        check_schema(schema)
    assert failed.value.kind is K.INVALID


def test_a_property_may_be_called_pattern() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"pattern": {"type": "string"}},
    }
    check_schema(schema)
    hold('{"pattern": "a"}', schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        doubling(40),
        {**doubling(40), "unevaluatedProperties": False},
        {"$ref": "#/properties", "properties": {"minimum": {"type": "string"}}},
        {"$ref": "other#/nowhere", "$defs": {"a": {"$id": "other"}}},
        {"$ref": "#/x", "x": {"type": "tea"}},
    ],
)
def test_a_schema_without_an_end_is_the_askers_fault(schema: dict[str, Any]) -> None:
    check_schema(schema)
    with pytest.raises(ModelFailure) as failed:
        hold("1", schema)
    assert failed.value.kind is K.INVALID


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 65 + "]" * 65, "tea"])
def test_an_answer_that_cannot_be_read_is_the_models_fault(text: str) -> None:
    with pytest.raises(ModelFailure) as failed:
        hold(text, {"items": {"$ref": "#"}})
    assert failed.value.kind is K.BAD_ANSWER


def test_a_schema_of_a_tree_holds_as_deep_as_answers_may_be() -> None:
    hold("[" * 64 + "]" * 64, {"type": "array", "items": {"$ref": "#"}})


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, True, "1", [1], {"a": 1}], True),
        ([1, 1.0], False),
        ([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], False),
        ([[True], [1]], True),
        ([*([one] for one in range(3000)), {}], True),
    ],
)
def test_items_are_unique_as_json_compares_them(items: list[Any], unique: bool) -> None:
    if unique:
        return hold(json.dumps(items), {"uniqueItems": True})
    with pytest.raises(ModelFailure, match="uniqueItems"):
        hold(json.dumps(items), {"uniqueItems": True})
    return None


async def test_a_schema_without_an_end_is_paid_once(sqlite_database: Database, telemetry: Telemetry) -> None:
    async with (
        model_server(turns=[{"text": "{}"}]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        with pytest.raises(ModelFailure, match="refers to itself") as failed:
            await opened.router.complete(asked(json_schema={"$ref": "#"}), caller())
        assert failed.value.kind is K.INVALID
        with pytest.raises(ModelFailure, match="regular expression"):
            await opened.router.complete(asked(json_schema={"pattern": "("}), caller())
        assert len([one for one in await heard(url) if one["path"] == "/api/chat"]) == 1
