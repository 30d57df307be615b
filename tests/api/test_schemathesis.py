"""The gateway keeps to its own OpenAPI document, whatever is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from gateways import Door
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LEFT_OUT = {
    "/v1/events/stream": "it does not end",
    "/v1/agents/{id}/commands/stream": "it does not end",
    "/v1/jobs/{id}/events/stream": "nor does it, while its job waits",
    "/ready": "it answers 503 here on purpose: there is no Temporal behind this gateway",
    "/v1/connectors/check": "so does this",
}
EXAMPLES = 25


PARTS = 4
"""So that several processes share the exploring."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_route_answers_as_its_document_says(door: Door, part: int) -> None:
    if not door.gateway.database.is_sqlite:
        pytest.skip("one database is enough here: the record suite runs on both")

    def explore() -> list[str]:
        schema = schemathesis.openapi.from_url(f"{door.url}/openapi.json")
        explored = []
        for number, result in enumerate(schema.get_all_operations()):
            operation = result.ok()
            if number % PARTS != part or operation.path in LEFT_OUT:
                continue

            @seed(20_261_120)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def answers(case: Any) -> None:
                case.call_and_validate(checks=CHECKS, timeout=20)

            given(case=operation.as_strategy())(answers)()
            explored.append(operation.label)
        return explored

    explored = await asyncio.to_thread(explore)
    assert len(explored) > 10
