"""What a machine writes to its console: all of it is taken, and the end of it is kept."""

from __future__ import annotations

import asyncio

from minoots_activities.vms.console import Console


async def test_only_the_end_is_kept_however_much_there_is() -> None:
    stream = asyncio.StreamReader()
    console = Console(stream, most=10)
    for number in range(1000):
        stream.feed_data(b"%05d" % number)
    stream.feed_eof()
    await console.end()
    assert console.text() == "0099800999"
    assert console.text(5) == "00999"


async def test_a_console_that_does_not_end_is_let_go() -> None:
    stream = asyncio.StreamReader()
    console = Console(stream)
    stream.feed_data(b"half a character: \xc3")
    await console.end(within=0.01)
    assert console.text() == "half a character: \ufffd"
