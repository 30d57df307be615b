"""Sandboxes that have begun before they are asked for: each is taken once, and is then what was asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from shut_in import Open, Try
from stacks import eventually

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes import cgroups
from minoots_activities.sandboxes.bubblewrap import _Begun
from minoots_activities.sandboxes.guested import GuestedSandbox
from minoots_activities.sandboxes.port import Ended, never_started
from minoots_activities.sandboxes.ready import Ready
from minoots_activities.sandboxes.room import Room
from minoots_activities.sandboxes.tiers import Tiers


class Eggs:
    """What begins is a number, and nothing more."""

    def __init__(self) -> None:
        self.laid: list[tuple[str, int]] = []
        self.broken: set[int] = set()
        self.may_begin = asyncio.Event()
        self.may_begin.set()
        self.fails = False

    async def begin(self, kind: str) -> int:
        await self.may_begin.wait()
        if self.fails:
            raise never_started("no more of them", "wait")
        self.laid.append((kind, len(self.laid)))
        return len(self.laid) - 1

    async def end(self, one: int) -> None:
        self.broken.add(one)

    def keeping(self, most: int, **more: float) -> Ready[str, int]:
        """Have so many of them ready."""
        return Ready(most, self.begin, self.end, lambda one: one not in self.broken, **more)

    async def left(self) -> list[tuple[str, int]]:
        """Those that were not ended."""
        return [one for one in self.laid if one[1] not in self.broken]


async def test_there_is_none_before_anybody_asks_and_each_is_taken_once() -> None:
    eggs = Eggs()
    ready = eggs.keeping(2)
    assert await ready.take("a") is None
    await eventually(eggs.left, lambda left: left == [("a", 0)])
    assert await ready.take("a") == 0
    await eventually(eggs.left, lambda left: len(left) == 3)
    assert {await ready.take("a"), await ready.take("a")} == {1, 2}
    await ready.aclose()
    # Whoever has taken one ends it himself.
    assert not eggs.broken & {0, 1, 2}
    assert {number for _, number in await eggs.left()} == {0, 1, 2}
    assert await ready.take("a") is None


async def test_those_are_kept_that_were_asked_for_last() -> None:
    eggs = Eggs()
    ready = eggs.keeping(2)

    async def kept() -> list[str]:
        return sorted(kind for kind, _ in ready._there)

    for kind in "ab":
        assert await ready.take(kind) is None
    await eventually(kept, lambda kinds: kinds == ["a", "b"])
    for kind in "ab":
        assert await ready.take(kind) is not None
    await eventually(kept, lambda kinds: kinds == ["a", "b"])
    for kind in "cc":
        await ready.take(kind)
    await eventually(kept, lambda kinds: kinds == ["c", "c"])
    assert len(eggs.broken) == 2
    await ready.aclose()


async def test_whoever_comes_while_one_begins_waits_for_it() -> None:
    eggs = Eggs()
    ready = eggs.keeping(1)
    assert await ready.take("a") is None
    eggs.may_begin.clear()
    taking = asyncio.create_task(ready.take("a"))
    second = asyncio.create_task(ready.take("a"))
    assert await second is None, "one that begins is awaited once"
    eggs.may_begin.set()
    assert await taking == 0
    await ready.aclose()


async def test_one_that_has_ended_by_itself_is_not_given() -> None:
    eggs = Eggs()
    ready = eggs.keeping(1)
    await ready.take("a")
    await eventually(eggs.left, bool)
    eggs.broken.add(0)
    assert await ready.take("a") is None
    await eventually(eggs.left, lambda left: left == [("a", 1)])
    await ready.aclose()


async def test_what_does_not_begin_is_begun_at_the_next_request() -> None:
    eggs = Eggs()
    eggs.fails = True
    ready = eggs.keeping(1)
    assert await ready.take("a") is None
    assert await ready.take("a") is None
    eggs.fails = False
    assert await ready.take("a") is None
    await eventually(eggs.left, bool)
    assert await ready.take("a") == 0
    await ready.aclose()


async def test_nobody_asks_for_a_while_and_they_end() -> None:
    eggs = Eggs()
    ready = eggs.keeping(2, idle=0.01)
    await ready.take("a")
    await eventually(eggs.left, lambda left: left == [] and bool(eggs.laid))
    await ready.aclose()


@asynccontextmanager
async def preparing(**more: object) -> AsyncIterator[Tiers]:
    """Tiers that have one ready."""
    tiers = Tiers(vm_image=Path("none"), ready=1, **more)  # type: ignore[arg-type]
    try:
        yield tiers
    finally:
        await tiers.aclose()


async def there(tiers: Tiers) -> list[tuple[int, _Begun]]:
    """Those that are ready."""
    return list(tiers._bubblewrap._ready._there)


async def taken(tiers: Tiers, limits: Limits) -> GuestedSandbox:
    """A sandbox that was ready, after another one of the same size of files."""
    other = await tiers.create(
        Tier.BUBBLEWRAP, "first", Limits(memory_mb=64, disk_mb=limits.disk_mb, processes=4)
    )
    await other.destroy()
    (ready,) = await eventually(lambda: there(tiers), bool)
    sandbox = await tiers.create(Tier.BUBBLEWRAP, "second", limits)
    assert isinstance(sandbox, GuestedSandbox)
    assert sandbox._process is ready[1].process
    assert sandbox.limits == limits
    return sandbox


FORKS = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError:
    print(made)
"""
LIMITS = Limits(time="30s", memory_mb=128, disk_mb=16, processes=16)


async def test_a_ready_one_is_held_to_what_its_taker_asks(open_sandbox: Open) -> None:
    usual = await open_sandbox(Tier.BUBBLEWRAP)
    async with preparing() as tiers:
        sandbox = await taken(tiers, LIMITS)
        box = Try(sandbox)
        try:
            assert sandbox.held_by == usual.sandbox.held_by
            said = await box.python("x = []\nwhile True:\n    x.append(b'x' * 8_000_000)")
            if sandbox.held_by["memory"] == "cgroup":
                assert said.ran.ended is Ended.OUT_OF_MEMORY, said
            else:
                assert "MemoryError" in said.err
            made = int((await box.python(FORKS)).out)
            assert 8 < made <= 16
            filled = await box.sh("head -c 40000000 /dev/zero > big; du -sm . | cut -f1")
            assert int(filled.out) <= 17
            assert (await box.sh("ls -A; ls -A /tmp /dev/shm | grep -v :")).out.split() == ["big"]
        finally:
            await sandbox.destroy()


async def test_a_ready_one_has_as_little_memory_as_may_be_asked_for_or_much(
    open_sandbox: Open,
) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    async with preparing() as tiers:
        for memory in (16, 4096):
            sandbox = await taken(tiers, Limits(memory_mb=memory, disk_mb=16))
            try:
                assert (await Try(sandbox).sh("echo alive")).out == "alive\n"
            finally:
                await sandbox.destroy()


async def test_the_list_of_room_tells_what_a_ready_one_uses(open_sandbox: Open, tmp_path: Path) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    if (place := cgroups.place()) is None or "memory" not in place.folders:
        pytest.skip("control groups that hold memory cannot be written here")
    room = Room(folder=tmp_path / "room", spare=0)
    async with preparing(room=room) as tiers, room.hold("second", Tier.BUBBLEWRAP, LIMITS):
        sandbox = await taken(tiers, LIMITS)
        try:
            await Try(sandbox).sh("head -c 12000000 /dev/zero > big")
            ((path, entry),) = room._entries()
            assert room._used(path, entry) >= 11
        finally:
            await sandbox.destroy()


async def test_nothing_is_left_of_ready_ones_that_nobody_took(open_sandbox: Open) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    async with preparing() as tiers:
        sandbox = await tiers.create(Tier.BUBBLEWRAP, "first", LIMITS)
        await sandbox.destroy()
        ((_, begun),) = await eventually(lambda: there(tiers), bool)
        family = [
            psutil.Process(begun.process.pid),
            *psutil.Process(begun.process.pid).children(recursive=True),
        ]
        assert len(family) > 1
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 30)
    assert alive == []
    assert begun.group is None or not any(folder.exists() for folder in begun.group._folders.values())


async def test_another_one_begins_in_place_of_a_ready_one_that_is_killed(open_sandbox: Open) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    async with preparing() as tiers:
        for _ in range(2):
            sandbox = await tiers.create(Tier.BUBBLEWRAP, "x", LIMITS)
            try:
                assert (await Try(sandbox).sh("echo alive")).out == "alive\n"
            finally:
                await sandbox.destroy()
            ((_, begun),) = await eventually(lambda: there(tiers), bool)
            begun.process.send_signal(signal.SIGKILL)
            async with asyncio.timeout(60):
                await begun.channel.ended.wait()


async def test_a_size_of_files_that_is_none_of_the_ready_ones_is_begun(open_sandbox: Open) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    async with preparing() as tiers:
        for disk_mb in (16, 32):
            sandbox = await tiers.create(Tier.BUBBLEWRAP, "x", Limits(disk_mb=disk_mb))
            try:
                said = await Try(sandbox).sh("head -c 64000000 /dev/zero > big; du -sm . | cut -f1")
                assert disk_mb - 1 <= int(said.out) <= disk_mb + 1
            finally:
                await sandbox.destroy()
            await eventually(lambda: there(tiers), bool)


KILLED = """
import asyncio, sys
from pathlib import Path
from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.tiers import Tiers

async def main():
    tiers = Tiers(vm_image=Path("none"), ready=1)
    sandbox = await tiers.create(Tier.BUBBLEWRAP, "killed", Limits())
    await sandbox.destroy()
    while not tiers._bubblewrap._ready._there:
        await asyncio.sleep(0.02)
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_kill_9_of_the_worker_leaves_no_ready_one(open_sandbox: Open) -> None:
    await open_sandbox(Tier.BUBBLEWRAP)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(60):
            assert await worker.stdout.readline() == b"ready\n"
        left = psutil.Process(worker.pid).children(recursive=True)
        assert left
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.communicate()
    _, alive = await asyncio.to_thread(psutil.wait_procs, left, 30)
    assert alive == []
