"""What a machine says of its files is a stranger's word: programs in it may have changed what lists them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import File
from minoots_activities.vms.machines import _files


def test_files_are_listed_by_name_and_those_that_cannot_be_shown_are_left_out() -> None:
    told = [[b"3", b"644"], [b"0", b"4755"], [b"1", b"600"], [b"1", b"600"]]
    assert _files(["b", "a", "c\n", "d" * 513], told) == [File("a", 0, True), File("b", 3, False)]


@pytest.mark.parametrize(
    "about",
    [
        [],
        [b"1"],
        [b"1", b"644", b"x"],
        [b"-1", b"644"],
        [b"1_0", b"644"],
        [b"1", b"888"],
        [b"9" * 5000, b"644"],
    ],
    ids=["nothing", "no mode", "too much", "less than nothing", "a word", "no octal", "no size of anything"],
)
def test_what_is_no_size_or_mode_is_refused_and_says_so(about: list[bytes]) -> None:
    with pytest.raises(Failure, match="expected a size and a mode of each") as refused:
        _files(["a"], [about])
    assert refused.value.kind is FailureKind.INVALID
    assert "another sandbox" in str(refused.value.remedy)


@given(st.binary())
def test_whatever_a_machine_says_is_a_listing_or_refused(said: bytes) -> None:
    told = [line.split() for line in said.splitlines()]
    with suppress(Failure):
        assert all(0 <= one.bytes < 10**15 for one in _files(["a"] * len(told), told))
