"""A program may take over the guest of its sandbox: whatever it says then, the host keeps little of it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.channel import Channel
from minoots_activities.sandboxes.guested import GuestedSandbox, _beside
from minoots_activities.sandboxes.port import EndedBefore, NeverStarted, OutcomeUnknown, Program

Say = Callable[[dict[str, Any]], Iterator[dict[str, Any]]]


async def write(theirs: socket.socket, data: bytes) -> None:
    """Say something to the host, for as long as it listens."""
    try:
        await asyncio.get_running_loop().sock_sendall(theirs, data)
    except (BrokenPipeError, ConnectionResetError):
        pass


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """A channel, and the other side of it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel = Channel(ours)
    try:
        yield channel, theirs
    finally:
        channel.close()
        theirs.close()


@asynccontextmanager
async def sandbox_that_says(say: Say) -> AsyncIterator[GuestedSandbox]:
    """A sandbox whose guest answers each request with what ``say`` gives."""
    async with opened() as (channel, theirs):

        async def guest() -> None:
            while data := await asyncio.get_running_loop().sock_recv(theirs, 65536):
                for line in data.splitlines():
                    for answer in say(json.loads(line)):
                        await write(theirs, json.dumps(answer).encode() + b"\n")
                        await asyncio.sleep(0)

        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        serving = asyncio.create_task(guest())
        try:
            yield GuestedSandbox(Tier.BUBBLEWRAP, Limits(), {}, {}, process, channel, None, {})
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await process.communicate(b"\n")


async def test_a_greeting_is_heard_once_and_then_forgotten() -> None:
    async with opened() as (channel, theirs), asyncio.timeout(30):
        await write(theirs, b'{"ready": 1}\n')
        assert await channel.ready(10)
        asked = channel.open({"do": "x"})
        await write(theirs, b'{"ready": 1}\n' * 1000 + b'{"n": 1}\n')
        assert await asked.next() == {"n": 1}
        assert channel._hello.empty()


async def test_more_answers_than_anybody_takes_end_the_channel() -> None:
    async with opened() as (channel, theirs), asyncio.timeout(30):
        asked = channel.open({"do": "x"})
        await write(theirs, b'{"n": 1}\n' * 5000)
        await channel.ended.wait()
        assert asked._answers.qsize() <= 64
        for _ in range(63):
            assert await asked.next() == {"n": 1}
        with pytest.raises(OutcomeUnknown):
            await asked.next()


async def heard_by_nobody(stream: str, data: bytes) -> None:
    raise AssertionError("nobody writes")


@asynccontextmanager
async def sandbox_and_its_guest() -> AsyncIterator[tuple[GuestedSandbox, socket.socket]]:
    """A sandbox, and what a guest has of it."""
    async with opened() as (channel, theirs):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        try:
            yield GuestedSandbox(Tier.BUBBLEWRAP, Limits(), {}, {}, process, channel, None, {}), theirs
        finally:
            await process.communicate(b"\n")


async def test_a_program_that_was_sent_to_nobody_never_started() -> None:
    async with sandbox_and_its_guest() as (sandbox, theirs), asyncio.timeout(30):
        # Nobody has been told yet that it has ended.
        theirs.close()
        with pytest.raises(EndedBefore):
            await sandbox.exec(Program(("true",)), heard_by_nobody)


@pytest.mark.skipif(sys.platform != "linux", reason="what was not read is told by Linux")
@pytest.mark.parametrize("size", [1, 60_000])
async def test_a_program_that_a_guest_has_not_read_when_it_ends_never_started(size: int) -> None:
    async with sandbox_and_its_guest() as (sandbox, theirs), asyncio.timeout(30):
        running = asyncio.create_task(sandbox.exec(Program(("true", "x" * size)), heard_by_nobody))
        await asyncio.sleep(0)
        # Half a line is read by nobody.
        theirs.recv(size // 2)
        theirs.close()
        with pytest.raises(EndedBefore):
            await running


async def test_of_a_program_that_a_guest_has_read_when_it_ends_nobody_knows() -> None:
    async with sandbox_and_its_guest() as (sandbox, theirs), asyncio.timeout(30):
        running = asyncio.create_task(sandbox.exec(Program(("true",)), heard_by_nobody))
        await asyncio.sleep(0)
        assert theirs.recv(65536).endswith(b"\n")
        theirs.close()
        with pytest.raises(OutcomeUnknown) as unknown:
            await running
        assert not isinstance(unknown.value, NeverStarted)


async def test_that_a_guest_has_ended_is_known_before_anybody_is_told() -> None:
    async with opened() as (channel, theirs):
        assert channel.lives
        await write(theirs, b'{"ready": 1}\n')
        assert channel.lives
        assert await channel.ready(10)
        theirs.close()
        assert not channel.lives
        assert channel.ended.is_set()


@pytest.mark.parametrize(
    "line",
    [
        b'{"n": Infinity}',
        b'{"n": 1.5}',
        b'{"n": "1"}',
        b'{"n": true}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b"{}",
        b'["ready"]',
        b'"ready"',
        b"[" * 100_000,
    ],
)
async def test_an_odd_line_ends_the_channel(line: bytes) -> None:
    async with opened() as (channel, theirs), asyncio.timeout(30):
        await write(theirs, line + b"\n")
        await channel.ended.wait()


async def test_answers_for_ever_that_nobody_has_asked_for_end_the_channel() -> None:
    async with opened() as (channel, theirs), asyncio.timeout(120):
        line = json.dumps({"n": 5, "x": "y" * 500_000}).encode() + b"\n"
        await write(theirs, line * 30)
        assert not channel.ended.is_set()
        more = asyncio.create_task(write(theirs, line * 10))
        await channel.ended.wait()
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)


@pytest.mark.skipif(sys.platform != "linux", reason="it is about files of Linux")
async def test_a_file_that_is_the_kernels_is_none(tmp_path: Path) -> None:
    async with opened() as (channel, theirs), asyncio.timeout(30):

        async def handed(path: Path) -> int:
            """Ask for a file, and be handed one that is open for writing; return its descriptor."""
            asking = asyncio.create_task(channel.ask_file({"do": "open"}))
            number = json.loads(await asyncio.get_running_loop().sock_recv(theirs, 65536))["n"]
            with path.open("r+b", buffering=0) as file:
                socket.send_fds(theirs, [json.dumps({"n": number}).encode() + b"\n"], [file.fileno()])
            return (await asking)[1]

        # Written by a worker that is root, it would keep a program from being killed for its memory.
        with pytest.raises(OutcomeUnknown):
            await handed(Path("/proc/self/oom_score_adj"))
        (tmp_path / "file").touch()
        os.close(await handed(tmp_path / "file"))


async def test_a_listing_without_end_is_given_up() -> None:
    def say(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        while True:
            yield {"n": request["n"], "entries": [], "more": True}

    async with sandbox_that_says(say) as sandbox, asyncio.timeout(30):
        with pytest.raises(OutcomeUnknown):
            await sandbox.list(1000)


async def test_a_listing_has_no_paths_and_sizes_that_cannot_be() -> None:
    entries = [
        ["a", 1, True],
        ["a" * 513, 1, True],
        ["../a", 1, True],
        ["/etc/passwd", 1, True],
        ["a//b", 1, True],
        ["b", -1, 0],
        ["c", 10**30, 0],
        ["d", True, 0],
        [1, 1, 1],
    ]

    def say(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"n": request["n"], "entries": entries, "more": False}

    async with sandbox_that_says(say) as sandbox, asyncio.timeout(30):
        listing = await sandbox.list(1000)
        assert ([file.path for file in listing.files], listing.unnamed) == (["a"], 4)


@pytest.mark.parametrize(
    "ended",
    [
        {"ended": 0, "cpu": float("nan"), "peak": 1},
        {"ended": 0, "cpu": float("inf"), "peak": 1},
        {"ended": float("inf"), "cpu": 1, "peak": 1},
        {"ended": 0, "cpu": 10**400, "peak": 1},
        {"ended": 0, "cpu": 1, "peak": 10**400},
    ],
)
async def test_an_end_that_cannot_be_is_none(ended: dict[str, Any]) -> None:
    def say(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"n": request["n"], "pid": 1}
        yield {"n": request["n"], **ended}

    async with sandbox_that_says(say) as sandbox, asyncio.timeout(30):
        with pytest.raises(OutcomeUnknown):
            await sandbox.exec(Program(("true",)), heard_by_nobody)


async def test_who_is_called_off_leaves_no_file_for_the_next(tmp_path: Path) -> None:
    paths = [tmp_path / "first", tmp_path / "second"]
    for path in paths:
        path.write_text(path.name)
    async with opened() as (channel, theirs), asyncio.timeout(30):
        first = asyncio.create_task(channel.ask_file({"do": "open"}))
        await asyncio.get_running_loop().sock_recv(theirs, 65536)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(channel.ask_file({"do": "open"}))
        await asyncio.get_running_loop().sock_recv(theirs, 65536)
        for number, path in enumerate(paths, 1):
            with path.open() as file:
                socket.send_fds(theirs, [json.dumps({"n": number}).encode() + b"\n"], [file.fileno()])
        _, fd = await second
        with os.fdopen(fd) as taken:
            assert taken.read() == "second"
        assert not channel._fds
        assert not channel._given


async def test_a_file_that_a_thread_still_reads_is_not_closed_when_nobody_waits_any_more() -> None:
    reading, writing = os.pipe()
    begun = threading.Event()
    read: list[bytes] = []

    def work() -> None:
        begun.set()
        read.append(os.read(reading, 10))

    waiting = asyncio.create_task(_beside(reading, work))
    async with asyncio.timeout(60):
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        os.fstat(reading)
        os.write(writing, b"its own")
        os.close(writing)
        while not is_closed(reading):
            await asyncio.sleep(0.01)
    assert read == [b"its own"]


def is_closed(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False
