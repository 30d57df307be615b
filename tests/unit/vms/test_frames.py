"""Frames between a machine and its host: what was sent is read, and what is none is refused."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots_activities.vms.frames import (
    MOST_PAYLOAD,
    Frame,
    Kind,
    ProtocolError,
    exit_of,
    number_of,
    read_frame,
    refusal_of,
    run_frame,
)


async def read_all(data: bytes) -> list[Frame]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames = []
    while (frame := await read_frame(reader)) is not None:
        frames.append(frame)
    return frames


FRAMES = st.builds(
    Frame,
    st.sampled_from(Kind),
    st.integers(0, 2**32 - 1),
    st.one_of(st.binary(max_size=200), st.just(b"x" * MOST_PAYLOAD)),
)


@given(st.lists(FRAMES, max_size=5), st.integers(1, 11))
def test_what_was_sent_is_read_and_a_torn_end_is_an_end(frames: list[Frame], torn: int) -> None:
    data = b"".join(frame.encode() for frame in frames)
    assert asyncio.run(read_all(data + b"\x00" * torn)) == frames


@given(st.binary(max_size=100))
def test_whatever_a_machine_sends_is_read_or_refused(data: bytes) -> None:
    try:
        asyncio.run(read_all(data))
    except ProtocolError:
        pass
    for read in (number_of, exit_of, refusal_of):
        try:
            read(Frame(Kind.EXITED, 1, data))
        except ProtocolError:
            pass


async def test_a_frame_that_is_too_long_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        await read_all(struct.pack("<IIB3x", MOST_PAYLOAD + 1, 1, Kind.OUTPUT))


@pytest.mark.parametrize("command", [("a\x00b",), ("x" * MOST_PAYLOAD,)])
def test_a_command_that_no_frame_holds_is_refused(command: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="command"):
        run_frame(1, "/work", "/", command, {})


def test_a_signal_is_no_exit_code() -> None:
    ended = exit_of(Frame(Kind.EXITED, 1, struct.pack("<iiIII", -1, 9, 1, 5, 6)))
    assert (ended.exit_code, ended.signal, ended.short_of_memory) == (None, 9, True)
