"""Sandboxes begin when the machine has memory for all that they may take, in their order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from stacks import eventually

from minoots.contracts.sandboxes import Limits, Tier
from minoots.errors import FailureKind
from minoots_activities.sandboxes.memory import Memory, of_machine, used_by
from minoots_activities.sandboxes.port import NeverStarted
from minoots_activities.sandboxes.room import Room, folder_of
from minoots_activities.sandboxes.tiers import Tiers

MEGABYTE = 1024 * 1024
T = TypeVar("T")


def room(folder: Path, total: int = 1000, free: int | None = None, **more: Any) -> Room:
    """The room of a machine with so much memory, of which nothing is spared."""
    return Room(**{"spare": 0, **more}, folder=folder / "room", memory=lambda: Memory(total, free))


class Waiting:
    """Sandboxes that begin one after the other, and end when they are told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._end: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, where: Room, name: str, mb: int, priority: int = 3, **more: Any) -> None:
        """Have one come; returns when it stands in the list."""
        self._end[name] = asyncio.Event()
        before = len(entries(where))
        self._tasks[name] = asyncio.create_task(self._live(where, name, mb, priority, **more))
        await eventually(lambda: _now(len(entries(where))), lambda found: found > before, 60)

    async def end(self, name: str) -> None:
        """End one that has begun; it has left the list when this returns."""
        await self.has_begun(name)
        self._end[name].set()
        await self._tasks[name]

    async def has_begun(self, *names: str) -> None:
        """Wait until these have begun, and no others."""
        await eventually(lambda: _now(self.begun), lambda found: set(names) <= set(found), 60)

    async def close(self) -> None:
        """Call off what still waits."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _live(self, where: Room, name: str, mb: int, priority: int, **more: Any) -> None:
        async with where.hold(name, Tier.BUBBLEWRAP, Limits(memory_mb=mb), priority, **more):
            self.begun.append(name)
            await self._end[name].wait()


def entries(where: Room) -> dict[str, bool]:
    """Who stands in the list, and whether he has room."""
    found = {}
    for path in where._folder.glob("minoots-*"):
        text = path.read_text()
        if text:
            found[path.name] = bool(json.loads(text)["taken"])
    return found


async def _now(value: T) -> T:
    return value


async def test_what_there_is_no_memory_for_waits_and_none_that_would_hold_it_up_overtakes_it(
    tmp_path: Path,
) -> None:
    here, waiting = room(tmp_path), Waiting()
    try:
        await waiting.come(here, "a", 600)
        await waiting.come(here, "big", 900)
        await waiting.come(here, "small", 100, lasts=timedelta(hours=1))
        await waiting.has_begun("a")
        await waiting.come(here, "urgent", 200, priority=1)
        await waiting.has_begun("a", "urgent")
        assert waiting.begun == ["a", "urgent"], "the small one would fit, and would hold up the big one"
        await waiting.end("a")
        await waiting.end("urgent")
        await waiting.end("big")
        await waiting.has_begun("small")
        assert waiting.begun == ["a", "urgent", "big", "small"]
    finally:
        await waiting.close()
    assert entries(here) == {}


async def test_small_ones_that_end_in_time_pass_a_big_one_that_waits_for_hours(tmp_path: Path) -> None:
    here, waiting = room(tmp_path), Waiting()
    try:
        await waiting.come(here, "stands", 600, lasts=timedelta(hours=24))
        await waiting.come(here, "big", 900)
        for number in range(5):
            await waiting.come(here, f"small-{number}", 300)
            await waiting.end(f"small-{number}")
        await waiting.come(here, "stands, too", 300, lasts=timedelta(hours=25))
        await waiting.come(here, "last", 100)
        await waiting.has_begun("last")
        assert waiting.begun == ["stands", *(f"small-{number}" for number in range(5)), "last"]
        await waiting.end("stands")
        await waiting.end("last")
        await waiting.end("big")
        await waiting.has_begun("stands, too")
        assert waiting.begun[-2:] == ["big", "stands, too"]
    finally:
        await waiting.close()


async def test_an_important_one_of_somebody_else_goes_before_nobody(tmp_path: Path) -> None:
    here, waiting = room(tmp_path), Waiting()
    try:
        await waiting.come(here, "has it", 900, whose="a")
        await waiting.come(here, "first", 900, whose="a")
        await waiting.come(here, "theirs", 900, priority=1, whose="b")
        await waiting.come(here, "ours", 900, priority=1, whose="a")
        # The place of the first one is used up, whatever has begun in it.
        await waiting.end("has it")
        await waiting.has_begun("ours")
        await waiting.come(here, "also ours", 900, priority=1, whose="a")
        for name in ("ours", "theirs", "also ours", "first"):
            await waiting.end(name)
        assert waiting.begun == ["has it", "ours", "theirs", "also ours", "first"]
    finally:
        await waiting.close()


async def test_who_comes_again_has_the_place_that_he_had(tmp_path: Path) -> None:
    here, waiting = room(tmp_path), Waiting()
    try:
        await waiting.come(here, "a", 900)
        await waiting.come(here, "b", 900)
        await waiting.come(here, "again", 900, waited=timedelta(minutes=5))
        await waiting.end("a")
        await waiting.end("again")
        await waiting.has_begun("b")
        assert waiting.begun == ["a", "again", "b"]
    finally:
        await waiting.close()


async def test_many_of_a_size_never_have_more_than_there_is(tmp_path: Path) -> None:
    # As two workers of one machine have it: each with a list of its own in memory, and the same folder.
    workers = [room(tmp_path), room(tmp_path)]
    at_once: list[int] = []
    running = 0

    async def one(number: int) -> None:
        nonlocal running
        async with workers[number % 2].hold(f"job-{number}", Tier.BUBBLEWRAP, Limits(memory_mb=300)):
            running += 1
            at_once.append(running)
            await asyncio.sleep(0)
            running -= 1

    async with asyncio.timeout(120):
        await asyncio.gather(*(one(number) for number in range(20)))
    assert len(at_once) == 20
    assert max(at_once) <= 3


async def test_what_others_of_the_machine_have_taken_counts(tmp_path: Path) -> None:
    free = [350]
    here = Room(spare=100, folder=tmp_path / "room", memory=lambda: Memory(10_000, free[0]))
    waiting = Waiting()
    try:
        await waiting.come(here, "a", 300)
        assert waiting.begun == []
        free[0] = 650
        await waiting.has_begun("a")
        await waiting.come(here, "b", 300)
        assert waiting.begun == ["a"], "550 are free, of which the first one may still take 300"
        free[0] = 750
        await waiting.has_begun("a", "b")
    finally:
        await waiting.close()


async def test_what_could_never_begin_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    here = room(tmp_path, spare=200)
    tiers = Tiers(vm_image=Path("none"), allow_process=True, room=here)
    limits = Limits(memory_mb=801)
    async with asyncio.timeout(60), tiers.hold(Tier.PROCESS, "x", limits, 3):
        with pytest.raises(NeverStarted, match=r"limits\.memory_mb is 801, and .* have 800 together") as no:
            await tiers.create(Tier.PROCESS, "x", limits)
    assert no.value.kind is FailureKind.INVALID
    assert "sandbox.memory_mb" in str(no.value.remedy)
    here.require(Tier.PROCESS, Limits(memory_mb=800))
    with pytest.raises(NeverStarted, match="with what a machine takes itself"):
        here.require(Tier.VM, Limits(memory_mb=800))
    assert room(tmp_path, most=500).most == 500
    assert room(tmp_path, most=5000).most == 1000, "a setting makes no memory"


async def test_who_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    here, waiting = room(tmp_path), Waiting()
    await waiting.come(here, "a", 1000)
    await waiting.come(here, "b", 1000)
    assert sorted(entries(here).values()) == [False, True]
    await waiting.close()
    assert entries(here) == {}


_HOLDER = """
import asyncio, sys
from pathlib import Path
from typing import TypeVar
from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.sandboxes.memory import Memory
from minoots_activities.sandboxes.room import Room

async def hold():
    room = Room(spare=0, folder=Path(sys.argv[1]) / "room", memory=lambda: Memory(1000, None))
    async with room.hold("theirs", Tier.BUBBLEWRAP, Limits(memory_mb=900)):
        print("has it", flush=True)
        await asyncio.sleep(3600)

if __name__ == "__main__":
    asyncio.run(hold())
"""


async def test_what_a_killed_worker_had_is_free_again(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    waiting, here = Waiting(), room(tmp_path)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"has it\n"
        await waiting.come(here, "mine", 900)
        assert waiting.begun == []
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await waiting.has_begun("mine")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await waiting.close()


async def test_a_list_that_cannot_be_kept_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "room").write_text("a file")
    with pytest.raises(NeverStarted, match="cannot be kept"):
        async with room(tmp_path).hold("x", Tier.BUBBLEWRAP, Limits(memory_mb=16)):
            raise AssertionError("it has begun")


async def test_a_list_behind_a_link_is_not_kept(tmp_path: Path) -> None:
    # Whoever may write to the temporary directory, too, could have put it there.
    (tmp_path / "ours").mkdir()
    (tmp_path / "room").symlink_to(tmp_path / "ours")
    with pytest.raises(NeverStarted, match="cannot be kept"):
        async with room(tmp_path).hold("x", Tier.BUBBLEWRAP, Limits(memory_mb=16)):
            raise AssertionError("it has begun")
    assert list((tmp_path / "ours").iterdir()) == []


def test_installations_have_lists_of_their_own(tmp_path: Path) -> None:
    assert folder_of(tmp_path / "a") == folder_of(tmp_path / "a")
    assert folder_of(tmp_path / "a") != folder_of(tmp_path / "b")


def machine(folder: Path, cgroup: str, files: dict[str, str]) -> Memory:
    """What is found on a machine that tells this."""
    everything = {
        "proc/meminfo": "MemTotal: 4096000 kB\nMemAvailable: 2048000 kB\n",
        "proc/self/cgroup": cgroup,
        **{f"groups/{name}": text for name, text in files.items()},
    }
    for name, text in everything.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return of_machine(folder / "proc", folder / "groups")


def test_the_tightest_control_group_counts_and_caches_are_free(tmp_path: Path) -> None:
    assert machine(tmp_path, "", {}) == Memory(4000, 2000)
    stat = f"inactive_file {50 * MEGABYTE}\nactive_file {50 * MEGABYTE}\nshmem 5\n"
    files = {
        "memory.max": "max\n",
        "a/memory.max": f"{1000 * MEGABYTE}\n",
        "a/memory.current": f"{400 * MEGABYTE}\n",
        "a/memory.stat": stat,
        "a/b/memory.max": f"{3000 * MEGABYTE}\n",
        "a/b/memory.current": f"{200 * MEGABYTE}\n",
    }
    assert machine(tmp_path, "0::/a/b\n", files) == Memory(1000, 700)


def test_the_older_kind_of_control_groups_is_read_too(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/a/memory.limit_in_bytes": f"{500 * MEGABYTE}\n",
        "memory/a/memory.usage_in_bytes": f"{600 * MEGABYTE}\n",
        "memory/a/memory.stat": f"inactive_file 1\ntotal_inactive_file {200 * MEGABYTE}\n",
    }
    cgroup = "9:name=systemd:/\n8:pids:/x\n3:memory:/a\n"
    assert machine(tmp_path, cgroup, files) == Memory(500, 100)


def test_this_machine_tells_what_it_has() -> None:
    found = of_machine()
    assert found.total > 0
    assert found.free is None or 0 <= found.free <= found.total


def test_what_a_sandbox_has_already_is_seen(tmp_path: Path) -> None:
    group = tmp_path / "groups" / "minoots-sandbox-1-2-job-3-abcd"
    group.mkdir(parents=True)
    (group / "memory.current").write_text(str(70 * MEGABYTE))
    mine = tmp_path / "minoots-sandbox-1-2-vm-3-abcd"
    mine.mkdir()
    (mine / "pid").write_text(str(os.getpid()))
    assert used_by("minoots-sandbox-1-2-job", [tmp_path / "groups"], tmp_path) == 70
    assert used_by("minoots-sandbox-1-2-vm", [tmp_path / "groups"], tmp_path) > 1
    assert used_by("minoots-sandbox-1-2-other", [tmp_path / "groups"], tmp_path) == 0


async def test_room_is_kept_until_the_sandbox_is_gone(tmp_path: Path) -> None:
    here = room(tmp_path)
    tiers = Tiers(vm_image=Path("none"), allow_process=True, room=here)
    limits = Limits(memory_mb=100)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tiers.hold(Tier.PROCESS, "x", limits, 3))
        sandbox = await tiers.create(Tier.PROCESS, "x", limits)
        stack.push_async_callback(sandbox.destroy)
        assert list(entries(here).values()) == [True]
    assert entries(here) == {}
