"""Contracts change only on purpose."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path

import pytest
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))

from lock import LOCK, models, rows

from minoots.contracts import TimerCreate
from minoots.contracts.base import Part, View, check_json
from minoots_workflows.contract import Contract
from minoots_workflows.timers.contracts import TimerStart


def test_no_field_changes_without_its_row_in_the_lock() -> None:
    diff = list(unified_diff(LOCK.read_text().splitlines(), rows(), "locked", "now", n=0, lineterm=""))
    meant = "if it is meant: python tests/unit/contracts/lock.py, and review its diff"
    assert not diff, "\n".join([meant, *diff])


def test_internal_contracts_and_answers_ignore_what_they_do_not_know() -> None:
    for model in models():
        if issubclass(model, Contract | View):
            assert model.model_config["extra"] == "ignore", model
        assert model.model_config["frozen"] is True, model
    start = {
        "tenant": "a",
        "timer_id": "t",
        "name": "n",
        "generation": 1,
        "lead_ms": 1,
        "fire_at": "2030-01-01T00:00Z",
    }
    assert TimerStart.model_validate(start | {"new": 1}).name == "n"


def test_requests_refuse_what_they_do_not_know() -> None:
    for model in models():
        if issubclass(model, Part):
            assert model.model_config["extra"] == "forbid", model
    with pytest.raises(ValidationError):
        TimerCreate.model_validate(
            {"name": "x", "after": 1, "actions": [{"url": "http://a/b"}], "tenant": "other"}
        )


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("a\x00", "NUL"),
        ({"\x00": 1}, "NUL"),
        (["\ud800"], "surrogate"),
        (float("nan"), "finite"),
        (2**63, "64 bits"),
        (-(2**64), "64 bits"),
    ],
)
def test_json_that_could_not_be_given_back_is_refused(value: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_json(value)


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    value: object = 1
    for _ in range(70):
        value = [value]
    with pytest.raises(ValueError, match="levels deep"):
        check_json(value)


def test_ordinary_json_is_kept() -> None:
    check_json({"a": [1, 2.5, None, True, "ü", {"b": []}], "n": 2**63 - 1})
