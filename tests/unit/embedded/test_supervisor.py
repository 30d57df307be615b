"""Watching children: restart, give up with the last lines, drain in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from minoots_workers.embedded.child import Child, Spec
from minoots_workers.embedded.faults import CHILD_FAILED, CONFIG, StackFault
from minoots_workers.embedded.supervisor import Supervisor

PATIENT = """
import signal, sys, time
from pathlib import Path
def end(*_):
    with Path(sys.argv[2]).open("a") as log: log.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
Path(sys.argv[3]).write_text("up")
while True: time.sleep(0.05)
"""
STUBBORN = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1]).write_text("up")
while True: time.sleep(0.05)
"""

RELUCTANT = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: Path(sys.argv[2]).write_text("asked"))
Path(sys.argv[1]).write_text("up")
while True: time.sleep(0.05)
"""
SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from minoots_workers.embedded.child import Child, Spec
from minoots_workers.embedded.supervisor import Supervisor
async def main():
    child = Child(Spec("c", sys.argv[2:], grace=600), Path(sys.argv[1]), verbose=False)
    supervisor = Supervisor([child])
    supervisor.listen()
    await supervisor.start(child)
    await supervisor.run()
    await supervisor.shut_down()
asyncio.run(main())
"""


def child(tmp_path: Path, name: str, program: str, *arguments: str, grace: float = 10) -> Child:
    """A child that runs a Python program."""
    command = [sys.executable, "-c", program, *arguments]
    return Child(Spec(name, command, grace=grace), tmp_path, verbose=False)


async def appears(path: Path) -> None:
    """Wait for a file."""
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.01)


async def test_children_are_asked_to_end_in_the_opposite_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    children = [
        child(tmp_path, name, PATIENT, name, str(order), str(tmp_path / f"{name}.up"))
        for name in ("one", "two")
    ]
    supervisor = Supervisor(children)
    for one in children:
        await supervisor.start(one)
        await appears(tmp_path / f"{one.spec.name}.up")
    await supervisor.shut_down()
    assert order.read_text().split() == ["two", "one"]
    assert [one.pid for one in children] == [None, None]


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    up = tmp_path / "up"
    patient = child(tmp_path, "p", PATIENT, "p", str(tmp_path / "order"), str(up))
    supervisor = Supervisor([patient])
    await supervisor.start(patient)
    await appears(up)
    up.unlink()
    first = patient.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await appears(up)
    assert patient.pid != first
    await supervisor.shut_down()


async def test_a_child_that_keeps_dying_stops_all_with_its_last_lines(tmp_path: Path) -> None:
    broken = child(tmp_path, "broken", "import sys; print('no disk left', file=sys.stderr); sys.exit(7)")
    supervisor = Supervisor([broken])
    await supervisor.start(broken)
    with pytest.raises(StackFault, match="no disk left") as fault:
        await asyncio.wait_for(supervisor.run(), 30)
    assert fault.value.code == CHILD_FAILED
    await supervisor.shut_down()


async def test_one_that_is_not_needed_and_keeps_dying_stays_down_and_the_rest_goes_on(tmp_path: Path) -> None:
    up = tmp_path / "up"
    patient = child(tmp_path, "p", PATIENT, "p", str(tmp_path / "order"), str(up))
    command = [sys.executable, "-c", "import sys; print('no folder', file=sys.stderr); sys.exit(7)"]
    broken = Child(Spec("broken", command, needed=False), tmp_path, verbose=False)
    supervisor = Supervisor([patient, broken])
    for one in (patient, broken):
        await supervisor.start(one)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(90):
        while not broken.given_up:
            await asyncio.sleep(0.01)
    done, _ = await asyncio.wait([running], timeout=0.2)
    assert not done, "the rest was not asked to stop"
    assert patient.pid is not None
    running.cancel()
    await supervisor.shut_down()


async def test_a_child_that_does_not_end_is_ended(tmp_path: Path) -> None:
    stubborn = child(tmp_path, "s", STUBBORN, str(tmp_path / "up"), grace=0.2)
    await stubborn.start()
    await appears(tmp_path / "up")
    await stubborn.stop()
    assert stubborn.pid is None


async def test_a_program_that_cannot_be_run_is_refused_with_its_name(tmp_path: Path) -> None:
    junk = tmp_path / "temporal"
    junk.write_bytes(b"\0no program")
    junk.chmod(0o755)
    broken = Child(Spec("temporal", [str(junk)]), tmp_path, verbose=False)
    with pytest.raises(StackFault, match=str(junk)) as fault:
        await broken.start()
    assert fault.value.code == CONFIG
    assert broken.pid is None


async def test_the_second_signal_ends_at_once_what_does_not_end_by_itself(tmp_path: Path) -> None:
    up, asked = tmp_path / "up", tmp_path / "asked"
    reluctant = [sys.executable, "-c", RELUCTANT, str(up), str(asked)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(tmp_path), *reluctant
    )
    try:
        await appears(up)
        process.send_signal(signal.SIGINT)
        await appears(asked)
        assert process.returncode is None, "the first signal waits for the child"
        process.send_signal(signal.SIGINT)
        # The child's grace is ten minutes: only the second signal can end it within this time.
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
