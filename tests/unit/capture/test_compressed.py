"""Compressed transcripts, whole, in frames, broken off, and made to fill a disk."""

from __future__ import annotations

import io
import random
from pathlib import PurePath

import pytest
import zstandard

from minoots_activities.capture.compressed import Damaged, expanded

NAME = PurePath("rollout.jsonl.zst")
TEXT = random.Random(1).randbytes(50_000) + b"same " * 500_000


def small(data: bytes) -> bytes:
    return zstandard.compress(data)


def test_frames_are_expanded_one_after_the_other() -> None:
    for data in (small(TEXT), small(TEXT[:70_000]) + small(TEXT[70_000:]), small(TEXT) + small(b"")):
        with expanded(io.BytesIO(data), NAME) as file:
            assert file.read() == TEXT


def test_other_files_are_as_they_are() -> None:
    plain = io.BytesIO(b"x")
    assert expanded(plain, PurePath("rollout.jsonl")) is plain
    with expanded(io.BytesIO(b""), NAME) as nothing:
        assert nothing.read() == b""


@pytest.mark.parametrize(
    "data", [small(TEXT)[:-1], small(TEXT)[:30], small(TEXT) + b"junk", b"no such thing"]
)
def test_what_breaks_off_or_is_none_says_so(data: bytes) -> None:
    given = io.BytesIO(data)
    with pytest.raises(Damaged, match=r"rollout\.jsonl\.zst (breaks off|is damaged)"):
        expanded(given, NAME)
    assert given.closed


def test_a_file_that_was_made_to_fill_the_disk_is_refused() -> None:
    with pytest.raises(Damaged, match="holds more than 1000000 bytes"):
        expanded(io.BytesIO(small(b"\x00" * (1 << 26))), NAME, 1_000_000)
