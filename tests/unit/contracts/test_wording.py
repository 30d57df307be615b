"""What is refused is answered in words, not in patterns or in the names of Python's types."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from minoots.contracts import Snooze, TimerCreate
from minoots.contracts.base import LABEL_PATTERN
from minoots.contracts.job_requests import JobRequest
from minoots.contracts.wording import expected_and_got, findings, place, shown

GOOD: dict[str, Any] = {"name": "tea", "after": "1h", "actions": [{"url": "http://example.com/"}]}

WRONG = {
    "name": ({"name": 5}, "text", "5"),
    "bytes": ({"name": b"\xff"}, "text in UTF-8", "1 bytes"),
    "date": (
        {"after": None, "fire_at": "tomorrow"},
        "an RFC 3339 time with an offset, such as",
        '"tomorrow"',
    ),
    "label": ({"labels": {"a b": "x"}}, "a key of 1 to 63 letters", '"a b"'),
    "header": ({"actions": [{"url": "http://a.b/", "headers": {"a b": "c"}}]}, "a header name", '"a b"'),
    "secret": ({"actions": [{"url": "http://a.b/", "secret": "NO"}]}, "a name of 1 to 63 lower", '"NO"'),
    "attempts": ({"retry": {"attempts": 0}}, "1 or more", "0"),
    "misfire": ({"misfire": {"policy": "drop"}}, "one of 'fire', 'skip'", '"drop"'),
    "metadata": ({"metadata": []}, "an object", "[]"),
    "actions": ({"actions": []}, "at least 1 item", "[]"),
    "unknown": ({"colour": "red"}, "no such field", '"red"'),
    "duration": ({"after": "soon"}, "a duration such as", "'soon'"),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_each_finding_is_told_in_words(case: str) -> None:
    change, expected, got = WRONG[case]
    with pytest.raises(ValidationError) as refused:
        TimerCreate.model_validate(GOOD | change)
    [told] = [expected_and_got(item) for item in findings(refused.value.errors())]
    assert told[0].startswith(expected)
    assert told[1] == got


def test_what_is_missing_came_as_nothing() -> None:
    with pytest.raises(ValidationError) as refused:
        Snooze.model_validate({})
    assert expected_and_got(refused.value.errors()[0]) == ("a value (it is required)", "nothing")


def test_a_kind_that_is_none_is_told_by_what_it_could_be() -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(JobRequest).validate_python({"kind": "sing"})
    [item] = refused.value.errors()
    assert expected_and_got(item) == ("one of 'llm', 'exec', 'vm', 'agent'", '"sing"')
    assert place(item) == ["kind"]


def test_a_body_that_was_not_taken_for_json_says_how_to_send_it() -> None:
    with pytest.raises(ValidationError) as refused:
        Snooze.model_validate(b"{}")
    expected, got = expected_and_got(refused.value.errors()[0])
    assert "Content-Type: application/json" in expected
    assert got == "2 bytes"


def test_patterns_stand_in_the_schema_all_the_same() -> None:
    schema = TimerCreate.model_json_schema()
    assert LABEL_PATTERN in str(schema)


@pytest.mark.parametrize(
    ("value", "text"), [(b"abc", "3 bytes"), ("x" * 200, '"' + "x" * 98 + "…"), ([1], "[1]")], ids=str
)
def test_what_came_is_shown_in_part(value: object, text: str) -> None:
    assert shown(value) == text
