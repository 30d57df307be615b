"""What a sandbox of any tier does: one suite over all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import psutil
import pytest
from shut_in import Open

from minoots.contracts.sandboxes import Tier
from minoots.errors import Failure, FailureKind
from minoots_activities.sandboxes.port import Ended, EndedBefore, NeverStarted, OutcomeUnknown, Program

MINE = os.getpid()
"""In what is looked for among all processes: other tests run beside these."""

pytestmark = pytest.mark.parametrize("tier", list(Tier))


async def test_a_program_is_heard_and_its_end_is_told(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh("cat; echo err >&2; exit 7", stdin=b"in")
    assert (said.out, said.err) == ("in", "err\n")
    assert (said.ran.ended, said.ran.exit_code, said.ran.signal) == (Ended.EXITED, 7, None)
    killed = await box.sh("kill -9 $$")
    assert (killed.ran.ended, killed.ran.exit_code, killed.ran.signal) == (Ended.KILLED, None, 9)


async def test_a_large_input_and_output_pass_without_a_jam(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier, output_kb=4096)
    data = os.urandom(1_000_000)
    said = await box.sh("tee copy | wc -c", stdin=data)
    assert said.out.strip() == str(len(data))
    assert await box.sandbox.get("copy", len(data)) == data
    # Written without ever being read by the program.
    assert (await box.sh("exit 0", stdin=data)).ran.exit_code == 0


async def test_files_stay_from_one_program_to_the_next(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    await box.sandbox.put("bin/greet", b"#!/bin/sh\necho hello $1 > out/$1\n", executable=True)
    await box.sh("mkdir out; bin/greet ada")
    await box.sh("bin/greet bob")
    listing = await box.sandbox.list(10)
    assert [file.path for file in listing.files] == ["bin/greet", "out/ada", "out/bob"]
    assert not listing.cut
    assert (await box.sandbox.list(1)).cut
    assert await box.sandbox.get("out/bob", 100) == b"hello bob\n"


async def test_whatever_name_a_file_came_with_it_is_listed_and_kept(open_sandbox: Open, tier: Tier) -> None:
    # Screens are kept by some systems with a narrow space before AM, families are put together by joiners.
    names = [
        "Screenshot 9.41\u202fAM.png",
        "a\u00a0b",
        "\u3000",
        "\U0001f468\u200d\U0001f469.txt",
        "x\u2028y",
    ]
    box, other = await open_sandbox(tier), await open_sandbox(tier)
    for name in names:
        await box.sandbox.put(name, name.encode())
    await box.sh(r"""for name in 'a\nb' 'a\033b' 'a\377b'; do printf x > "$(printf $name)"; done""")
    listing = await box.sandbox.list(100)
    assert sorted(file.path for file in listing.files) == sorted(names)
    assert (listing.cut, listing.unnamed) == (False, 3)
    await other.sandbox.restore(await box.sandbox.snapshot(1_000_000))
    assert {file.path for file in (await other.sandbox.list(100)).files} == set(names)


async def test_many_files_are_listed(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    await box.sh("for i in $(seq 1000); do echo > $i; done")
    assert len((await box.sandbox.list(5000)).files) == 1000


async def test_what_is_no_program_is_not_started(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    with pytest.raises(NeverStarted, match="no-such-program"):
        await box.run("no-such-program")
    await box.sandbox.put("plain", b"text")
    with pytest.raises(NeverStarted, match="cannot be run"):
        await box.run("./plain")
    assert (await box.sh("echo fine")).out == "fine\n", "the sandbox is as good as before"


async def test_a_program_that_takes_too_long_is_killed_with_all_that_it_began(
    open_sandbox: Open, tier: Tier
) -> None:
    box = await open_sandbox(tier)
    script = f"(trap '' TERM; setsid sh -c 'while :; do sleep 1.{MINE}; done' & ); trap '' TERM; sleep 60"
    said = await box.sh(script, seconds=0.5)
    assert said.ran.ended is Ended.TIMED_OUT
    assert (await box.sh(f"ps -eo args | grep -c '[w]hile :; do sleep 1.{MINE}'")).out.strip() == "0"


async def test_what_a_program_leaves_behind_ends_with_it(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh(f"setsid sh -c 'sleep 99.{MINE}' & setsid sleep 99.{MINE} & echo done")
    assert said.out == "done\n"
    assert (await box.sh(f"ps -eo args | grep -c '[s]leep 99.{MINE}'")).out.strip() == "0"


async def test_too_much_output_ends_it(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier, output_kb=64)
    said = await box.sh("yes 0123456")
    assert said.ran.ended is Ended.TOO_MUCH_OUTPUT
    assert len(said.out) == 64 * 1024


async def test_it_is_killed_when_nobody_waits_for_it_any_more(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    begun = asyncio.Event()

    async def hear(stream: str, data: bytes) -> None:
        begun.set()

    running = asyncio.create_task(
        box.sandbox.exec(Program(("sh", "-c", f"echo; exec sleep 98.{MINE}")), hear)
    )
    async with asyncio.timeout(30):
        await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await box.sh(f"ps -eo args | grep -c '[s]leep 98.{MINE}'")).out.strip() == "0"


async def test_a_file_must_be_below_the_folder_and_no_link(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    await box.sh(
        "ln -s /etc/passwd link; ln -s /etc etc; mkfifo pipe; mkdir folder; ln -s pipe also; echo x > fine"
    )
    for path in ("link", "etc/passwd", "pipe", "folder", "also", "gone", "fine/below"):
        with pytest.raises(Failure) as refused:
            await box.sandbox.get(path, 1000)
        assert refused.value.kind is FailureKind.NOT_FOUND, path
    for path in ("link", "etc/passwd", "etc/new", "folder", "pipe"):
        with pytest.raises(Failure) as refused:
            await box.sandbox.put(path, b"x")
        assert refused.value.kind is FailureKind.INVALID, path
    assert [file.path for file in (await box.sandbox.list(10)).files] == ["fine"]


async def test_a_file_that_is_too_large_to_take_out_is_refused(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    await box.sh("head -c 2000 /dev/zero > big")
    with pytest.raises(Failure, match="more than the 1000 bytes"):
        await box.sandbox.get("big", 1000)


async def test_a_guest_that_is_killed_is_an_unknown_outcome(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    begun = asyncio.Event()

    async def hear(stream: str, data: bytes) -> None:
        begun.set()

    running = asyncio.create_task(box.sandbox.exec(Program(("sh", "-c", "echo; sleep 60")), hear))
    async with asyncio.timeout(30):
        await begun.wait()
    for process in box.processes():
        # The others end with the first.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    with pytest.raises(OutcomeUnknown):
        await running


async def test_a_sandbox_that_ends_before_its_first_program_has_started_none(
    open_sandbox: Open, tier: Tier
) -> None:
    box = await open_sandbox(tier)
    for process in box.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(60):
        await box.sandbox.ended()
        with pytest.raises(EndedBefore, match="before the program began"):
            await box.sh("echo never")


async def test_a_sandbox_that_is_stopped_goes_on_later(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    heard: list[bytes] = []
    more = asyncio.Event()

    async def hear(stream: str, data: bytes) -> None:
        heard.append(data)
        more.set()

    script = "echo 1; while ! test -e go; do sleep 0.02; done; echo 2"
    running = asyncio.create_task(box.sandbox.exec(Program(("sh", "-c", script)), hear))
    async with asyncio.timeout(30):
        await more.wait()
        await box.sandbox.suspend()
        await box.sandbox.put("go", b"")
        await box.sandbox.list(10)
        assert heard == [b"1\n"]
        await box.sandbox.resume()
        assert (await running).exit_code == 0
    assert b"".join(heard) == b"1\n2\n"


async def test_another_sandbox_begins_with_a_snapshot(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    await box.sh("mkdir -p a/b; echo words > a/b/c; ln -s a link")
    await box.sandbox.put("run", b"#!/bin/sh\necho ran\n", executable=True)
    taken = await box.sandbox.snapshot(1_000_000)
    assert taken == await box.sandbox.snapshot(1_000_000)
    other = await open_sandbox(tier)
    await other.sandbox.restore(taken)
    assert (await other.sh("cat a/b/c; ./run; ls")).out.split() == ["words", "ran", "a", "run"]
    with pytest.raises(Failure, match="more than the"):
        await box.sandbox.snapshot(3)
    with pytest.raises(Failure, match="expected a snapshot"):
        await box.sandbox.restore(b"x" * 2000)


async def test_the_environment_has_nothing_of_the_worker(
    open_sandbox: Open, tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINOOTS_SECRETS__MASTER_KEYS", "a-master-key")
    box = await open_sandbox(tier)
    said = await box.sh("env; cat /proc/self/environ /proc/$PPID/environ", env={"MINE": "yes"})
    assert "MINE=yes" in said.out
    assert "a-master-key" not in said.all


async def test_it_inherits_no_file_of_the_worker(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh("ls /proc/self/fd")
    # 3 is the folder that ls reads.
    assert said.out.split() == ["0", "1", "2", "3"]


async def test_nothing_is_left_when_it_is_destroyed(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    family = box.processes()
    await box.sandbox.destroy()
    await box.sandbox.destroy()
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 20)
    assert alive == []


async def test_whoever_waits_for_its_end_hears_of_it(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    ended = asyncio.create_task(box.sandbox.ended())
    assert (await box.sh("true")).ran.exit_code == 0
    assert not ended.done()
    await box.sandbox.destroy()
    async with asyncio.timeout(60):
        await ended
