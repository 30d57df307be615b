"""Events that readers make without checking are the same as those that are checked."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, ToolUse
from minoots_activities.capture.readers.reader import Parsed

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
GIVEN: list[dict[str, Any]] = [
    {},
    {"text": "hello", "message_id": "m", "model": "some-model", "agent_id": None},
    {"tool": ToolUse(call_id="c", name="Bash", input={"command": "ls"}), "details": {"a": 1}},
]


def _made(ts: datetime | None, given: dict[str, Any]) -> ConversationEvent:
    parsed = Parsed()
    parsed.add(ConversationEventKind.USER, ts, "cev_1", **given)
    return parsed.drafts[0].event


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("ts", [None, NOON])
def test_an_event_is_what_checking_the_same_fields_gives(ts: datetime | None, given: dict[str, Any]) -> None:
    made = _made(ts, given)
    checked = ConversationEvent.model_validate(
        {"id": "cev_1", "kind": "message.user", "ts": ts, "ts_source": "record" if ts else "none", **given}
    )

    assert made == checked
    assert made.model_dump_json() == checked.model_dump_json()
    assert list(made.__dict__) == list(ConversationEvent.model_fields)


@pytest.mark.parametrize("given", GIVEN)
def test_an_event_has_all_that_pydantic_gives_one_that_it_makes_itself(given: dict[str, Any]) -> None:
    made = _made(NOON, given)
    built = ConversationEvent.model_construct(**made.__dict__)

    assert made.__reduce_ex__(4)[2] == built.__reduce_ex__(4)[2]
    for like in (copy.copy(made), copy.deepcopy(made), made.model_copy()):
        assert like == built


def test_events_share_nothing_that_could_be_changed() -> None:
    one, other = _made(NOON, {}), _made(NOON, {})

    assert one.details is not other.details
    assert one.model_fields_set is not other.model_fields_set
