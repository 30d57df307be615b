"""Nothing that a client sends is without a bound."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

sys.path.insert(0, str(Path(__file__).parent))

from lock import models

from minoots.contracts import (
    Acknowledge,
    Cancel,
    CommandCreate,
    Progress,
    ReplayFilter,
    RetryPolicy,
    SchedulePatch,
    SecretCreate,
    TimerCreate,
    TimerPatch,
    WebhookAction,
)
from minoots.contracts.base import Part
from minoots.contracts.payloads import MAX_METADATA_BYTES, MAX_PAYLOAD_BYTES

SENT = sorted({model for model in models() if issubclass(model, Part)}, key=lambda model: model.__name__)
# Bounded as a whole: by its bytes, which no JSON schema can say.
BY_BYTES = {
    "TemplatePreview.payload",
    "TemplatePreview.metadata.*",
    "TimerCreate.payload",
    "TimerCreate.metadata.*",
    "TimerPatch.payload",
    "SchedulePatch.payload",
    "NodeTimer.payload",
    "NodeTimer.metadata.*",
    "IngestAbout.metadata.*",
    "SourceAbout.metadata.*",
    "_Job.metadata.*",
    "_InSandbox.metadata.*",
    "LlmJob.metadata.*",
    "LlmJob.json_schema.*",
    "ExecJob.metadata.*",
    "VmJob.metadata.*",
    "AgentJob.metadata.*",
    "PlanCreate.payload",
    "PlanCreate.metadata.*",
    "EscalationCreate.payload",
    "EscalationCreate.metadata.*",
    "AcknowledgeEscalation.result",
    "AcknowledgeMessage.result",
    "HeartbeatSave.payload",
    "ConnectorAction.config.*",
    "CommandCreate.payload",
    "Acknowledge.result",
    "Progress.progress",
    "ToolCall.arguments.*",
    "ToolSpec.parameters.*",
    "ModelRequest.json_schema.*",
}
LEASE = "lse_01JD3Z5E8S9V8QG8ZJ6ZC4T2XK"
ACTION = {"url": "https://a.example/"}
TIMER = {"name": "n", "after": "1s", "actions": [ACTION]}


def unbounded(schema: dict[str, Any], where: str, defs: dict[str, Any]) -> Iterator[str]:
    """The places in a schema where a client may send as much as it likes."""
    if where in BY_BYTES:
        return
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
        where = schema.get("title", where)
    for option in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        yield from unbounded(option, where, defs)
    kind = schema.get("type")
    if kind is None and not {"anyOf", "oneOf", "enum", "const"} & schema.keys():
        yield where
    if kind == "string" and not {"maxLength", "pattern", "enum", "const", "format"} & schema.keys():
        yield where
    if kind == "array":
        if "maxItems" not in schema:
            yield where
        yield from unbounded(schema["items"], f"{where}.*", defs)
    if kind == "object":
        for name, field in schema.get("properties", {}).items():
            yield from unbounded(field, f"{where}.{name}", defs)
        loose = [*schema.get("patternProperties", {}).values()]
        if isinstance(schema.get("additionalProperties"), dict | bool) and schema["additionalProperties"]:
            loose.append(schema["additionalProperties"])
        if loose and "maxProperties" not in schema:
            yield where
        for value in loose:
            yield from unbounded(value if isinstance(value, dict) else {}, f"{where}.*", defs)
    if kind in ("integer", "number") and not {"maximum", "exclusiveMaximum"} & schema.keys():
        yield where


@pytest.mark.parametrize("model", SENT)
def test_every_string_list_map_and_number_that_a_client_sends_is_bounded(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert list(unbounded(schema, model.__name__, schema.get("$defs", {}))) == []


def test_the_search_for_what_is_not_bounded_finds_it() -> None:
    class Loose(BaseModel):
        text: str
        many: list[int]
        table: dict[str, bool]
        anything: Any
        maybe: str | None = None

    schema = Loose.model_json_schema()
    found = list(unbounded(schema, "Loose", {}))
    assert found == [
        "Loose.text",
        "Loose.many",
        "Loose.many.*",
        "Loose.table",
        "Loose.anything",
        "Loose.maybe",
    ]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (TimerCreate, TIMER | {"name": "x" * 201}),
        (TimerCreate, TIMER | {"name": ""}),
        (TimerCreate, TIMER | {"actions": []}),
        (TimerCreate, TIMER | {"actions": [ACTION] * 17}),
        (TimerCreate, TIMER | {"payload": "x" * MAX_PAYLOAD_BYTES}),
        (TimerCreate, TIMER | {"payload": "ü" * (MAX_PAYLOAD_BYTES // 2)}),
        (TimerCreate, TIMER | {"metadata": {"x": "x" * MAX_METADATA_BYTES}}),
        (TimerCreate, TIMER | {"metadata": {str(n): n for n in range(65)}}),
        (TimerCreate, TIMER | {"labels": {str(n): "" for n in range(33)}}),
        (TimerCreate, TIMER | {"labels": {"a": "x" * 257}}),
        (TimerCreate, TIMER | {"labels": {"": "x"}}),
        (TimerCreate, TIMER | {"labels": {"a\n": "x"}}),
        (TimerCreate, TIMER | {"fire_at": "2030-01-01T00:00:00Z"}),
        (TimerCreate, {"name": "n", "actions": [ACTION]}),
        (TimerCreate, TIMER | {"after": None, "fire_at": "2030-01-01T00:00:00"}),
        (TimerCreate, TIMER | {"after": None, "fire_at": 1_900_000_000}),
        (TimerPatch, {}),
        (TimerPatch, {"payload": "x" * MAX_PAYLOAD_BYTES}),
        (SchedulePatch, {"payload": "x" * MAX_PAYLOAD_BYTES}),
        (CommandCreate, {"name": "x", "payload": "x" * MAX_PAYLOAD_BYTES}),
        (Acknowledge, {"lease": LEASE, "result": "x" * MAX_PAYLOAD_BYTES}),
        (Progress, {"lease": LEASE, "progress": "x" * MAX_METADATA_BYTES}),
        (Cancel, {"reason": "x" * 501}),
        (Cancel, {"reason": "a\x00b"}),
        (ReplayFilter, {}),
        (ReplayFilter, {"timer_id": "x" * 41}),
        (RetryPolicy, {"attempts": 0}),
        (RetryPolicy, {"attempts": 51}),
        (RetryPolicy, {"attempts": 2, "delays": ["1s"]}),
        (RetryPolicy, {"delays": ["1s"] * 50}),
        (RetryPolicy, {"backoff": {"factor": 0.5}}),
        (RetryPolicy, {"backoff": {"factor": "inf"}}),
        (SecretCreate, {"name": "Caps"}),
        (SecretCreate, {"name": "a\n"}),
        (WebhookAction, {"url": "ftp://a.example/"}),
        (WebhookAction, {"url": "https://u:p@a.example/"}),
        (WebhookAction, {"url": "https://a.example/" + "x" * 2048}),
        (WebhookAction, ACTION | {"headers": {"Webhook-Id": "x"}}),
        (WebhookAction, ACTION | {"headers": {"A": "x\r\ny"}}),
        (WebhookAction, ACTION | {"headers": {"A": "x", "a": "y"}}),
        (WebhookAction, ACTION | {"timeout": "31s"}),
        (WebhookAction, ACTION | {"timeout": 0}),
    ],
)
def test_what_is_out_of_bounds_is_refused(model: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)


@pytest.mark.parametrize(
    "body",
    [
        TIMER | {"name": "x" * 200, "actions": [ACTION] * 16, "labels": {"k" * 63: "x" * 256}},
        TIMER | {"payload": "x" * (MAX_PAYLOAD_BYTES - 2), "metadata": {str(n): n for n in range(64)}},
        TIMER | {"actions": [ACTION | {"timeout": "30s"}], "labels": {str(n): "" for n in range(32)}},
    ],
)
def test_what_is_just_within_bounds_is_taken(body: dict[str, Any]) -> None:
    timer = TimerCreate.model_validate(body)
    assert TimerCreate.model_validate_json(timer.model_dump_json(exclude_unset=True)) == timer
