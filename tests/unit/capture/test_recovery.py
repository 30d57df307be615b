"""Records out of lines that somebody has damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.capture.readers.sqlite import json_of
from minoots_activities.capture.recovery import MOST_VALUES, Recovered, is_swollen, records_of

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.sampled_from(["type", "uuid", "message", "text"]), JSON, min_size=1)


def line_of(record: Any) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


@given(RECORDS)
def test_a_whole_record_is_taken_as_it_is(record: dict[str, Any]) -> None:
    found = records_of(line_of(record))
    assert (found.records, found.damaged) == ((record,), False)


@given(RECORDS, RECORDS, RECORDS)
def test_records_without_a_line_end_between_them_are_all_taken(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    found = records_of(line_of(one) + line_of(two) + line_of(three))
    assert found.records == (one, two, three)
    assert not found.damaged


@given(RECORDS, RECORDS, st.integers(1, 200))
def test_after_one_that_breaks_off_the_next_is_taken(
    torn: dict[str, Any], whole: dict[str, Any], cut: int
) -> None:
    data = line_of(torn)
    broken = data[: min(cut, len(data) - 1)]
    found = records_of(broken + line_of({"type": "user"} | whole))
    assert found.damaged
    # What breaks off within a text may take the next one's first quote for its own end: then it is lost, but
    # nothing that is no record is made up of it.
    assert found.records in ((), ({"type": "user"} | whole,)) or found.records[-1] == {"type": "user"} | whole


def test_what_no_database_holds_is_put_into_what_it_does() -> None:
    found = records_of(
        b'{"text":"a\\u0000b \\ud83d \\ud83d\\ude00","n":1e999,"k\\udc00":[1,' + b"9" * 30 + b"]}"
    )
    assert found.records == ({"text": "a\ufffdb \ufffd 😀", "n": None, "k\ufffd": [1, 1e30]},)
    deep = records_of(b'{"a":' * 500 + b"1" + b"}" * 500).records[0]
    levels = 0
    while isinstance(deep, dict):
        deep, levels = deep["a"], levels + 1
    assert levels == 64
    assert json.loads(deep)


def test_runs_of_nul_are_left_out() -> None:
    found = records_of(b'{"type":"user"}\x00\x00\x00{"type":"assistant"}')
    assert found.records == ({"type": "user"}, {"type": "assistant"})
    assert found.damaged
    assert records_of(b"\x00\x00\x00").records == ()


@pytest.mark.parametrize("line", [b"", b"   ", b"\r", b"\x00"])
def test_empty_lines_are_nothing(line: bytes) -> None:
    assert (records_of(line).records, records_of(line).damaged) == ((), False)


@pytest.mark.parametrize("line", [b"[1]", b'"text"', b"nonsense", b"{", b'{"a":', b"\xff\xfe", b"12"])
def test_what_is_no_record_is_damage(line: bytes) -> None:
    found = records_of(line)
    assert (found.records, found.damaged) == ((), True)


@given(st.binary(max_size=300))
def test_nothing_raises(line: bytes) -> None:
    records_of(line)


def test_a_line_full_of_beginnings_takes_no_time() -> None:
    assert records_of(b'{"a' * 400_000).damaged


def test_a_record_that_was_made_to_fill_memory_is_damage() -> None:
    many = MOST_VALUES + 1
    for values in (b"{}," * many, b"1," * many, b"[]," * many):
        line = b'{"type":"user","message":{"content":[' + values + b"0]}}"
        assert records_of(line) == Recovered((), damaged=True)
        # Nor behind one that breaks off.
        assert records_of(b'{"type":"x' + line) == Recovered((), damaged=True)
    # A long text with as many commas is none.
    said = {"type": "user", "message": {"content": "1,{[" * many}}
    assert records_of(line_of(said)).records == (said,)
    assert json_of("[" + "1," * many + "1]") is None
    assert json_of(json.dumps([said])) == [said]


@pytest.mark.parametrize("made", [b'"\\', b'"', b'\\"', b"\\,"])
def test_whether_a_record_fills_memory_is_found_in_one_pass(made: bytes) -> None:
    # In the time of the square of its length this would never end.
    is_swollen(b'{"a":' + made * 1_000_000 + b"," * (MOST_VALUES + 1))
