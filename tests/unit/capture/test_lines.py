"""Complete lines from a mark on, whatever has happened to the file meanwhile."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.capture.lines import FINGERPRINT_BYTES, Mark, is_continued, lines_from, mark_at

LINES = st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=20)


@given(lines=LINES, torn=st.binary(max_size=10), cuts=st.lists(st.integers(0, 900), max_size=6))
def test_reading_on_gives_what_reading_at_once_gives(
    lines: list[bytes], torn: bytes, cuts: list[int]
) -> None:
    whole = b"".join(line + b"\n" for line in lines) + torn.replace(b"\n", b"")
    found: list[bytes] = []
    mark = Mark()
    for cut in (*sorted(cuts), len(whole)):
        so_far = io.BytesIO(whole[:cut])
        assert is_continued(so_far, mark) or cut < mark.offset
        if cut < mark.offset:
            continue
        for line in lines_from(so_far, mark.offset):
            found.append(line.data)
            mark = mark_at(so_far, line.end)
    assert found == lines


def test_a_line_longer_than_any_buffer_comes_whole() -> None:
    long = b"x" * (12 * 1024 * 1024)
    first, second = lines_from(io.BytesIO(long + b"\nshort\n"), 0)
    assert first.data == long
    assert (second.data, second.end) == (b"short", len(long) + 7)


@pytest.mark.parametrize(
    ("after", "continued"),
    [
        (b"one\ntwo\n", True),
        (b"one\ntwo\nthree\n", True),
        (b"one\n", False),
        (b"", False),
        (b"one\nTWO\nthree\n", False),
        (b"0123456789", False),
    ],
)
def test_a_file_that_was_cut_or_written_anew_is_found_out(after: bytes, continued: bool) -> None:
    mark = mark_at(io.BytesIO(b"one\ntwo\n"), 8)
    assert is_continued(io.BytesIO(after), mark) is continued


def test_a_change_long_before_the_mark_is_not_looked_for() -> None:
    before = b"a\n" + b"x" * (FINGERPRINT_BYTES + 10) + b"\n"
    mark = mark_at(io.BytesIO(before), len(before))
    assert is_continued(io.BytesIO(b"b" + before[1:]), mark)
