"""Expressions: what they see, and what they may cost."""

from __future__ import annotations

from typing import Any

import pytest

from minoots_platform.expressions import DYN, MAX_ITEMS, MAX_TEXT, ExpressionFault, Expressions
from minoots_platform.planning import fill

LANGUAGE = Expressions(payload=DYN)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("payload.n + 1", 4),
        ("payload.f * 2.0", 3.0),
        ("payload.text + '!'", "hi!"),
        ("payload.list", [1, 2]),
        ("payload.map", {"a": None}),
        ("payload.map.a == null", True),
        ("has(payload.nothing)", False),
        ("[payload.n, size(payload.list)]", [3, 2]),
        ("{'n': payload.n}", {"n": 3}),
        ("payload.text.matches('^h.$')", True),
    ],
)
def test_values_are_json(text: str, value: Any) -> None:
    data = {"payload": {"n": 3, "f": 1.5, "text": "hi", "list": [1, 2], "map": {"a": None}}}
    assert LANGUAGE.value(text, data) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("payload.nothing", "Key not found"),
        ("1 / 0", "divide by zero"),
        ("timestamp('2026-01-01T00:00:00Z')", r"convert it with string\(…\)"),
        ("b'x'", "JSON has not"),
        ("1.0 / 0.0", "not a finite number"),
        ("'a\\x00b'", "NUL byte"),
        ("18446744073709551615u", "beyond 64 bits"),
        ("payload.n.foo()", "variables are payload"),
    ],
)
def test_what_has_no_value_says_why(text: str, told: str) -> None:
    with pytest.raises(ExpressionFault, match=told):
        LANGUAGE.value(text, {"payload": {"n": 3}})


def test_a_condition_has_to_be_true_or_false() -> None:
    with pytest.raises(ExpressionFault, match="it gave int"):
        LANGUAGE.holds("payload.n", {"payload": {"n": 3}})


def test_what_is_too_large_is_not_seen() -> None:
    data = {"payload": {"long": "x" * (MAX_TEXT + 1), "many": [0] * (MAX_ITEMS + 1), "fits": [0] * MAX_ITEMS}}
    assert LANGUAGE.value("has(payload.long) || has(payload.many)", data) is False
    assert LANGUAGE.value("size(payload.fits)", data) == MAX_ITEMS


def test_a_payload_is_filled_wherever_expressions_stand() -> None:
    data = {"nodes": {"a": {"response": {"id": 7}}}, "payload": {"who": "ada"}, "labels": {"env": "prod"}}
    payload = {"id": {"$cel": "nodes.a.response.id"}, "to": [{"$cel": "payload.who"}, "bob"], "n": 1}
    assert fill(payload, lambda text: data) == {"id": 7, "to": ["ada", "bob"], "n": 1}
    with pytest.raises(ExpressionFault, match=r"payload\.x\.0: .*Key not found"):
        fill({"x": [{"$cel": "nodes.b.response"}]}, lambda text: data)
