"""A token that a server was shown is taken out of its answer, wherever the pieces of that are divided."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from minoots_activities.jobs.servers.endpoints import _Without

ANSWER = b"data: you showed t0t0ken, t0ke and t0ken\n\n"
CLEAN = b"data: you showed t0[redacted], t0ke and [redacted]\n\n"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """An answer in pieces."""
    for part in parts:
        yield part


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
async def test_it_is_found_across_pieces(size: int) -> None:
    parts = [ANSWER[begin : begin + size] for begin in range(0, len(ANSWER), size)]
    assert b"".join([piece async for piece in _Without(pieces(*parts), b"t0ken")]) == CLEAN


async def test_the_end_of_a_message_does_not_wait_for_the_next_one() -> None:
    answer = aiter(_Without(pieces(b"data: 1\n\n", b"data: t0", b"\n\n", b"t0"), b"t0ken"))
    assert await anext(answer) == b"data: 1\n\n"
    assert [piece async for piece in answer] == [b"data: ", b"t0\n\n", b"t0"]
