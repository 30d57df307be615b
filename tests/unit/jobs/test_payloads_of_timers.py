"""A job that a timer starts finds the timer's payload in a file, unless it brings that file itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from minoots.contracts.payloads import MAX_PAYLOAD_BYTES, Payload
from minoots_activities.connectors.jobs import PAYLOAD, _request
from minoots_activities.connectors.sender import Message
from minoots_platform.clock import utc_now
from minoots_platform.connectors.job import SubmitJob
from minoots_platform.records.jobs import REQUEST

LARGE = [1] * (MAX_PAYLOAD_BYTES // 2 - 1)


def asked(payload: Any, *paths: str) -> dict[str, str | None]:
    """The files of a job that is submitted for a message, as whoever runs it reads it."""
    message = Message(
        id="tmr_1_1_0",
        tenant="acme",
        title="disk full",
        timer_id="tmr_1",
        payload=payload,
        fired_at=utc_now(),
        attempt=1,
        link=None,
        traceparent=None,
        event={},
    )
    files = [{"path": path, "text": "own"} for path in paths]
    config = SubmitJob.model_validate({"job": {"kind": "exec", "command": ["true"], "files": files}})
    wire = _request(config, message).model_dump(mode="json", exclude_unset=True)
    return {file.path: file.text for file in REQUEST.validate_python(wire).files}  # type: ignore[union-attr]


def test_the_largest_payload_that_a_timer_has_fits_into_its_file() -> None:
    TypeAdapter(Payload).validate_python(LARGE)
    assert json.loads(str(asked(LARGE)[PAYLOAD])) == LARGE


@pytest.mark.parametrize("path", [PAYLOAD, f"{PAYLOAD}/x"])
def test_a_file_of_the_job_is_not_replaced_or_stood_in_the_way_of(path: str) -> None:
    assert asked({"a": 1}, path) == {path: "own"}
