"""JSON that is kept comes back as it was, or is refused with the place of the fault."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts.base import MAX_DEPTH, MAX_INTEGER, check_json

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
trees = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


@given(trees)
def test_what_is_taken_survives_text_and_bytes(value: object) -> None:
    check_json(value)
    assert json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(trees, st.sampled_from(["\x00", "\ud800", "a\udfffb", 2**63, -(2**63), float("inf"), float("nan")]))
def test_one_bad_leaf_anywhere_is_found(value: object, bad: object) -> None:
    for spoilt in ([value, bad], {"a": {"b": bad}, "c": value}):
        with pytest.raises(ValueError, match="body"):
            check_json(spoilt)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [0, {"b": "\x00"}]}, "body.a.1.b holds a NUL byte"),
        ({"a": {"\x00": 1}}, "a key in body.a holds a NUL byte"),
        ({"a": "\udc00"}, "body.a holds half of a surrogate pair"),
        ([1, float("nan")], "body.1 is not a finite number"),
        ({"n": 2**63}, "body.n is an integer beyond 64 bits"),
    ],
)
def test_the_fault_is_named_by_its_place(value: object, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        check_json(value)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_depth_is_bounded_exactly(wrap) -> None:  # type: ignore[no-untyped-def]
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    check_json(value)
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} levels deep"):
        check_json(wrap(value))
